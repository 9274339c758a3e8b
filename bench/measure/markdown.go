package measure

import (
	"slices"
	"strings"
)

// Row writes one line of a Markdown table.
func Row(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// Head writes the line of the columns' names.
func Head(b *strings.Builder, cells ...string) {
	Row(b, cells...)
	Row(b, slices.Repeat([]string{"---"}, len(cells))...)
}
