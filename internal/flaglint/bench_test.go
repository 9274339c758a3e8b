package flaglint_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/flaglint"
)

var samples = map[string]string{
	".go":  "// Handler answers.\nfunc (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {\n\tif flags.Enabled(r.Context(), \"new-checkout\") && r.Method == http.MethodPost {\n\t\tfmt.Fprintf(w, \"%s: %d\\n\", r.URL.Path, len(h.items))\n\t\treturn\n\t}\n}\n",
	".tsx": "export function Page({ user, items }: Props) {\n  const { value } = useBooleanFlagValue(\"new-checkout\", false);\n  // what it's for\n  return <ul className=\"list\">{items.map((i) => <li key={i.id}>{`${i.name} / ${i.size}`} don't</li>)}</ul>;\n}\n",
	".py":  "def view(request):\n    \"\"\"Answers.\"\"\"\n    if client.get_boolean_value(\"new-checkout\", False):\n        return render(request, 'new.html', {'items': [f\"{i.name}: {i.size}\" for i in items]})\n",
	".rb":  "  def show\n    return head(:ok) if client.fetch_boolean_value(flag_key: \"new-checkout\", default_value: false)\n    @names = %w[a b c].map { |n| \"#{n}: #{n.size / 2}\" } # names\n  end\n",
	".erb": "<div class=\"list\">\n<% @items.each do |item| %>\n  <p>It's <%= link_to item.name, item_path(item) %></p>\n<% end %>\n</div>\n",
}

// BenchmarkCode reads a file of 64 KiB in each language.
func BenchmarkCode(b *testing.B) {
	for ending, sample := range samples {
		b.Run(ending[1:], func(b *testing.B) {
			code := []byte(strings.Repeat(sample, 64<<10/len(sample)))
			b.SetBytes(int64(len(code)))
			b.ReportAllocs()
			read := flaglint.Reader("new-checkout", "isOn")
			for b.Loop() {
				read("a"+ending, code)
			}
		})
	}
}

// BenchmarkRun reads 2,000 files of 8 KiB from the disk, by all processors.
func BenchmarkRun(b *testing.B) {
	files := map[string]string{}
	size := int64(0)
	for i := range 400 {
		for ending, sample := range samples {
			text := strings.Repeat(sample, 8<<10/len(sample))
			files[fmt.Sprintf("d%d/f%d%s", i%20, i, ending)] = text
			size += int64(len(text))
		}
	}
	dir := write(b, files)
	d := defined("new-checkout")
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		r, err := flaglint.Run(b.Context(), flaglint.Config{Definitions: []*flaglint.Definitions{d}, Code: []string{dir}, StaleAfter: time.Hour, Now: now})
		if err != nil || r.Stats.Files != len(files) || len(r.Findings) > 0 {
			b.Fatalf("%v, %+v", err, r)
		}
	}
}
