package envcheck

import (
	"errors"
	"strings"

	"github.com/joho/godotenv"
)

// ReadEnvFile reads one .env file and returns its variables. References see
// only what stands above them in the file. See [ReadEnvFiles] for the form of a
// file and the errors.
func ReadEnvFile(path string) (map[string]string, error) {
	out := map[string]string{}
	if err := readEnvFile(path, out, nil); err != nil {
		return nil, err
	}
	return out, nil
}

// ReadEnvFiles reads .env files below the process environment and returns all of
// it as a new map: what the process has set wins over every file, and a later
// file wins over an earlier one. A variable that the process sets to nothing
// counts as unset, so a file may set it.
//
//	NAME=plain text    # a comment begins after white space
//	export NAME="…"    # \n \r \" \\ \$ are escapes, other backslashes stay; may span lines
//	NAME='…'           # literally, up to the next '; may span lines
//	NAME=`…`           # the same with backticks
//
// In plain and double-quoted values $NAME, ${NAME}, ${NAME:-default} and
// ${NAME-default} refer to the process environment first, then to the files so
// far. A reference to an undefined variable is an error and never silently
// empty, because that is how passwords with a $ get lost. So are $(…) (nothing
// is executed), text behind a closing quote, and # right behind = without quotes.
//
// Errors: an errors.Join of *SyntaxError with every mistake of all files, which
// quote nothing of them; or an error that wraps what opening or reading gave,
// such as fs.ErrNotExist. Files are UTF-8 of at most MaxFileBytes.
func ReadEnvFiles(process map[string]string, paths ...string) (map[string]string, error) {
	out := map[string]string{}
	set := map[string]string{}
	addSet(set, process)
	var errs []error
	for _, path := range paths {
		errs = append(errs, readEnvFile(path, out, set))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for k, v := range process {
		if _, inFile := out[k]; v != "" || !inFile {
			out[k] = v
		}
	}
	return out, nil
}

// readEnvFile adds a file's variables to out. References look into process, then
// into out.
func readEnvFile(path string, out, process map[string]string) error {
	src, err := readPath(path)
	if err != nil {
		return err
	}
	return parseEnvFile(path, src, out, process)
}

func parseEnvFile(name, src string, out, process map[string]string) error {
	c := &cursor{file: name, src: src}
	lookup := func(name string) (string, bool) {
		if v, ok := process[name]; ok {
			return v, true
		}
		v, ok := out[name]
		return v, ok
	}
	for !c.done() && !c.full() {
		c.blanks()
		if b := c.peek(); b == '\n' || b == '#' {
			c.nextLine()
			continue
		}
		key, at, ok := c.key()
		if !ok {
			c.nextLine()
			continue
		}
		value, ok := c.envValue(at, lookup)
		c.nextLine()
		if ok {
			out[key] = value
		}
	}
	return c.err()
}

// Bytes that cannot occur in a file stand for what godotenv must not touch:
// escaped quotes (it trims them at the ends of a value), backslashes (it drops
// them), and every $.
var (
	escapeMarks = strings.NewReplacer(`\\`, "\x02", `\"`, "\x01", `\$`, "\x03", `\n`, `\n`, `\r`, `\r`,
		`\`, "\x02", `$`, refMark)
	plainMarks   = strings.NewReplacer(`\$`, "\x03", `$`, refMark)
	decodedMarks = strings.NewReplacer("\x01", `"`, "\x02", `\`, "\x03", `$`)
)

// envValue takes the value at the cursor and leaves the cursor on its last line.
func (c *cursor) envValue(at int, lookup func(string) (string, bool)) (string, bool) {
	var prepared string
	switch quote := c.peek(); quote {
	case '\'', '`':
		body, ok := c.quoted(string(quote), false, true)
		return body, ok && c.onlyComment()
	case '"':
		body, ok := c.quoted(`"`, true, true)
		if !ok || !c.onlyComment() {
			return "", false
		}
		prepared = `"` + escapeMarks.Replace(body) + `"`
	case '#':
		if c.pos > 0 && c.src[c.pos-1] == '=' {
			c.failAt(c.pos, "a value that begins with # must be quoted; a comment needs a space before it")
			return "", false
		}
		return "", true
	default:
		prepared = plainMarks.Replace(strings.TrimRight(cutComment(c.src[c.pos:c.lineEnd()]), " \t"))
	}
	// One assignment at a time: godotenv's own errors quote the file, and it
	// makes undefined references empty.
	decoded, err := godotenv.Unmarshal("V=" + prepared)
	if err != nil {
		c.failAt(at, "the value cannot be read")
		return "", false
	}
	value, err := expand(decodedMarks.Replace(decoded["V"]), lookup)
	if err != nil {
		c.failAt(at, err.Error())
		return "", false
	}
	return value, true
}

// onlyComment reports whether nothing but a comment follows a closing quote.
func (c *cursor) onlyComment() bool {
	c.blanks()
	if b := c.peek(); b != '\n' && b != '#' {
		c.failAt(c.pos, "unexpected text after the closing quote")
		return false
	}
	return true
}

// cutComment cuts a line at the first # that follows white space.
func cutComment(line string) string {
	for i := 1; i < len(line); i++ {
		if line[i] == '#' && (line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}
