package flaglint

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/handrail-go/handrail/internal/strictyaml"
)

// flagPlace is where a flag stands, and where the settings in it do.
type flagPlace struct {
	line, column int
	settings     []setting // by line
	end          int       // the last line before the next flag; 0: that of the file
}

type setting struct {
	name string
	line int
}

// unknown is a mapping of which the reader knows no key: strictyaml names each
// of them, with its place.
type unknown struct{}

// placesOf finds the flags of a file, by key, and their settings.
func placesOf(name string, data []byte) (map[string]*flagPlace, error) {
	doc, err := strictyaml.Parse(name, data)
	if err != nil {
		return nil, err
	}
	var keys, settings strictyaml.Problems
	prefix := ""
	if doc.Has("flags") {
		prefix = "flags."
		var root struct {
			Flags unknown `yaml:"flags"`
		}
		var deeper struct {
			Flags map[string]unknown `yaml:"flags"`
		}
		errors.As(doc.Decode(&root, nil), &keys)
		errors.As(doc.Decode(&deeper, nil), &settings)
	} else {
		var root unknown
		var deeper map[string]unknown
		errors.As(doc.Decode(&root, nil), &keys)
		errors.As(doc.Decode(&deeper, nil), &settings)
	}
	places := make(map[string]*flagPlace, len(keys))
	var before *flagPlace
	for _, p := range keys { // by place
		at := &flagPlace{line: p.Line, column: p.Column}
		if before != nil {
			before.end = max(p.Line-1, before.line)
		}
		places[p.Key], before = at, at
	}
	for _, p := range settings {
		if at := places[strings.TrimPrefix(p.Path, prefix)]; at != nil {
			at.settings = append(at.settings, setting{p.Key, p.Line})
		}
	}
	return places, nil
}

// native reports whether no setting is one of flagd's.
func (p *flagPlace) native() bool {
	return p.line > 0 && !slices.ContainsFunc(p.settings, func(s setting) bool {
		return s.name == "state" || s.name == "defaultVariant" || s.name == "targeting"
	})
}

// deciding are the lines of the settings that say who gets the flag, of the key
// where there are none.
func (p *flagPlace) deciding(lines [][]byte) []Lines {
	slices.SortStableFunc(p.settings, func(a, b setting) int { return cmp.Compare(a.line, b.line) })
	var ranges []Lines
	for i, s := range p.settings {
		switch s.name {
		case "enabled", "rolloutPercentage", "allowList", "denyList", "variants",
			"state", "defaultVariant", "targeting": // of flagd
		default:
			continue
		}
		last := len(lines)
		if p.end > 0 {
			last = p.end
		}
		for _, next := range p.settings[i+1:] {
			if next.line > s.line {
				last = next.line - 1
				break
			}
		}
		for last > s.line && idle(lines[last-1]) {
			last--
		}
		ranges = append(ranges, Lines{s.line, max(s.line, last)})
	}
	if ranges == nil && p.line > 0 {
		return []Lines{{p.line, p.line}}
	}
	return ranges
}

// idle reports whether a line says nothing: it is empty, or a comment.
func idle(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) == 0 || line[0] == '#' || len(bytes.Trim(line, "{}[], \t")) == 0
}

// ignoredLine reports whether a comment in the line, or alone in the one before,
// silences what is found in it.
func ignoredLine(lines [][]byte, line int) bool {
	if line < 1 || line > len(lines) {
		return false
	}
	marked := func(s []byte, alone bool) bool {
		hash := bytes.IndexByte(s, '#')
		return hash >= 0 && bytes.Contains(s[hash:], ignoreMark) && (!alone || len(bytes.TrimSpace(s[:hash])) == 0)
	}
	return marked(lines[line-1], false) || line > 1 && marked(lines[line-2], true)
}
