package envcheck

import "strings"

// Example writes the text of a .env.example file: what each variable is for and
// what it must be, the @example as a comment, and NAME= without a value. A copy
// of it changes nothing until it is filled in: no example is ever mistaken for a
// value.
func (s *Schema) Example() string {
	var b strings.Builder
	for i, v := range s.variables {
		if i > 0 {
			b.WriteByte('\n')
		}
		for line := range strings.SplitSeq(v.Description, "\n") {
			if line != "" {
				b.WriteString("# " + line + "\n")
			}
		}
		state := "optional"
		switch {
		case v.HasDefault:
			state = "optional, the schema has a value"
		case len(v.required.environments) > 0 && v.required.negate:
			state = "required, but not in " + strings.Join(v.required.environments, ", ")
		case len(v.required.environments) > 0:
			state = "required in " + strings.Join(v.required.environments, ", ")
		case v.required.fixed:
			state = "required"
		}
		b.WriteString("# " + v.Expected + " (" + state + ")\n")
		for _, doc := range v.Docs {
			b.WriteString("# " + doc + "\n")
		}
		if v.Example != "" {
			b.WriteString("# " + v.Name + "=" + quoteForEnvFile(v.Example) + "\n")
		}
		b.WriteString(v.Name + "=\n")
	}
	return b.String()
}

// quoteForEnvFile writes a text so that ReadEnvFile reads it back.
func quoteForEnvFile(text string) string {
	if !strings.ContainsAny(text, " \t\n#$'\"`\\") {
		return text
	}
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "\n", `\n`)
	return `"` + escape.Replace(text) + `"`
}
