package flaglint

import (
	"bytes"
	"cmp"
	"slices"
	"unicode/utf8"
)

// places finds lines and columns of offsets. It counts from the last one that it
// was asked for: a line of a megabyte is not counted again for each call in it.
type places struct {
	src                []byte
	last, line, column int // column before last, in characters
}

// of is the line and the column of an offset, both from 1.
func (p *places) of(at int) (line, column int) {
	between := p.src[min(at, p.last):max(at, p.last)]
	newLines := bytes.Count(between, []byte{'\n'})
	switch {
	case newLines == 0 && at >= p.last:
		p.column += utf8.RuneCount(between)
	case newLines == 0:
		p.column -= utf8.RuneCount(between)
	default:
		p.column = utf8.RuneCount(p.src[bytes.LastIndexByte(p.src[:at], '\n')+1 : at])
	}
	if at < p.last {
		newLines = -newLines
	}
	p.last, p.line = at, p.line+newLines
	return p.line, p.column + 1
}

// ranges are stretches of a file, by place.
type ranges [][2]int

// silenced are the lines that marks silence: a mark behind code its own line, one
// that stands alone the next too.
func silenced(data []byte, marks []int) ranges {
	var all ranges
	ownEnd := -1
	for _, mark := range slices.Sorted(slices.Values(marks)) {
		if mark <= ownEnd {
			continue // in the line of the one before
		}
		begin := bytes.LastIndexByte(data[:mark], '\n') + 1
		ownEnd = lineEnd(data, mark)
		end := ownEnd
		if !bytes.ContainsFunc(data[begin:mark], func(r rune) bool { return r >= utf8.RuneSelf || wordByte(byte(r)) || r == '"' || r == '\'' }) {
			end = lineEnd(data, min(ownEnd+1, len(data)))
		}
		all = append(all, [2]int{begin, end})
	}
	return all
}

// holds reports whether the offset lies in one of the ranges.
func (r ranges) holds(at int) bool {
	i, found := slices.BinarySearchFunc(r, at, func(s [2]int, at int) int { return cmp.Compare(s[0], at) })
	return found || i > 0 && at <= r[i-1][1]
}

func lineEnd(data []byte, from int) int {
	if i := bytes.IndexByte(data[from:], '\n'); i >= 0 {
		return from + i
	}
	return len(data)
}
