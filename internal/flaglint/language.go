package flaglint

import (
	"path"
	"strings"
)

// family is a set of languages with the same calls.
type family uint8

const (
	golang family = 1 << iota
	javascript
	python
	ruby
	template
	config    // the sidecar's, which names flags
	elsewhere // languages whose strings are read, and whose calls are the user's own
)

// main is the family whose names the code of a page shares.
func (f family) main() family {
	if f&javascript != 0 {
		return javascript
	}
	return f
}

// A language is how a file is read.
type language struct {
	family family
	read   grammar
}

// languageOf is the language of a file by its name, false for none that is read.
func languageOf(name string) (language, bool) {
	base := strings.ToLower(path.Base(name))
	ext := path.Ext(base)
	page := markup{angle: readExpression, curly: true}
	switch ext {
	case ".go":
		return language{golang, goStyle.read}, true
	case ".js", ".mjs", ".cjs", ".jsx", ".tsx":
		return language{javascript, readJSX}, true
	case ".ts", ".mts", ".cts":
		return language{javascript, readJS}, true
	case ".vue":
		return language{javascript | template, markup{curly: true, plain: true}.read}, true
	case ".svelte":
		return language{javascript | template, markup{braces: true, plain: true}.read}, true
	case ".ejs":
		return language{javascript | template, markup{angle: readJS}.read}, true
	case ".py", ".pyi":
		return language{python, readPython}, true
	case ".rb", ".rake", ".ru", ".gemspec", ".jbuilder":
		return language{ruby, readRuby}, true
	case ".erb", ".rhtml":
		return language{javascript | ruby | template, erb(base)}, true
	case ".html", ".htm", ".gohtml", ".tmpl", ".gotmpl", ".tpl", ".j2", ".jinja", ".jinja2", ".djhtml", ".twig", ".njk",
		".liquid", ".hbs", ".handlebars", ".mustache":
		return language{golang | javascript | python | template, page.read}, true
	case ".java", ".kt", ".kts", ".scala", ".swift", ".rs", ".cs", ".groovy":
		return language{elsewhere, javaStyle.read}, true
	case ".php":
		return language{elsewhere | template, markup{php: true, curly: strings.HasSuffix(base, ".blade.php")}.read}, true
	case ".c", ".h", ".cc", ".cpp", ".hpp", ".m", ".dart":
		return language{elsewhere, cStyle.read}, true
	case ".ex", ".exs", ".sh", ".bash":
		return language{elsewhere, readPython}, true
	case ".yaml", ".yml":
		if base == "handrail"+ext {
			return language{config, readYAML}, true
		}
		return language{elsewhere, readYAML}, true
	}
	if base == "rakefile" || base == "gemfile" {
		return language{ruby, readRuby}, true
	}
	return language{}, false
}

// erb is how a page of ERB is read: as what the name before .erb says.
func erb(base string) grammar {
	m := markup{angle: readRuby}
	switch path.Ext(strings.TrimSuffix(base, path.Ext(base))) {
	case ".js", ".ts", ".coffee":
		m.outside = readJS
	case ".rb":
		m.outside = readRuby
	}
	return m.read
}
