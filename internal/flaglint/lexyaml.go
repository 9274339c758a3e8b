package flaglint

import "bytes"

// readYAML reads the flags that a configuration names, as in
// routes: [{flag: new-checkout, paths: ["/v2/**"]}]. All else is data.
func readYAML(l *lexer) {
	for l.pos < l.end {
		end := l.lineEnd(l.pos)
		line := l.src[l.pos:end]
		for from := 0; ; {
			i := bytes.Index(line[from:], []byte("flag:"))
			hash := bytes.IndexByte(line, '#')
			if i < 0 || hash >= 0 && hash < from+i {
				break
			}
			start := l.pos + from + i
			from += i + len("flag:")
			if start > l.pos && bytes.IndexByte([]byte(" \t{,-"), l.src[start-1]) < 0 {
				continue
			}
			value := line[from:]
			if stop := bytes.IndexAny(value, ",}#"); stop >= 0 {
				value = value[:stop]
			}
			trimmed := bytes.TrimLeft(value, " \t\"'")
			at := l.pos + from + len(value) - len(trimmed)
			trimmed = bytes.TrimRight(trimmed, " \t\r\"'")
			if len(trimmed) > 0 {
				l.tokens = append(l.tokens,
					token{kind: word, char: ':', start: start, end: start + len("flag"), text: line[from-len("flag:") : from-1]},
					token{kind: literal, start: at, end: at + len(trimmed), text: trimmed})
			}
		}
		if hash := bytes.IndexByte(line, '#'); hash >= 0 {
			l.pos += hash
			l.comment(end)
		}
		l.pos = min(end+1, l.end)
	}
}
