package flags

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-go/handrail/internal/strictyaml"
)

// maxProblems bounds the problems of one file that are looked for after its
// shape was found right.
const maxProblems = 1000

// Parse compiles definitions in YAML or JSON. A root without "flags" is the
// bare form, which holds the flags themselves. Name stands in errors; one that
// ends in .json makes YAML an error.
//
// All problems are returned at once, joined; each matches *DefinitionError.
func Parse(name string, data []byte) (*Set, error) {
	doc, err := strictyaml.Parse(name, data)
	if err != nil {
		return nil, definitionErrors(err)
	}
	p := parser{doc: doc}
	var flags map[string]fileFlag
	if doc.Has("flags") {
		var root struct {
			Flags map[string]fileFlag `yaml:"flags"`
		}
		p.prefix = "flags."
		err, flags = doc.Decode(&root, nil), root.Flags
	} else {
		err = doc.Decode(&flags, nil)
	}
	p.unread(err)
	compiled := p.flags(flags)
	if err := p.problems.Err(); err != nil {
		return nil, definitionErrors(err)
	}
	return newSet(compiled, VersionOf(data), p.sortedWarnings()), nil
}

// VersionOf is the Version of a Set made from data: its SHA-256, in hex.
func VersionOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// DefinitionError is one problem of a definition file.
type DefinitionError struct {
	// File is the name given to Parse.
	File string
	// Line and Column count from 1; 0 where no place in the file is at fault.
	Line, Column int
	// Path leads to the value, such as "flags.new-checkout.salt"; empty for
	// the file as a whole.
	Path string
	// Reason holds no value of the file.
	Reason string
}

// Error has the shape "flags.yaml:3:14: flags.new-checkout.salt: is too long".
func (e *DefinitionError) Error() string {
	p := strictyaml.Problem{File: e.File, Line: e.Line, Column: e.Column, Path: e.Path, Message: e.Reason}
	return p.Error()
}

// definitionErrors gives the problems of a file their public type.
func definitionErrors(err error) error {
	var problems strictyaml.Problems
	if !errors.As(err, &problems) {
		return fmt.Errorf("flags: %w", err)
	}
	all := make([]error, len(problems))
	for i, p := range problems {
		all[i] = &DefinitionError{File: p.File, Line: p.Line, Column: p.Column, Path: p.Path, Reason: p.Message}
	}
	return errors.Join(all...)
}

// fileFlag is a flag as the file has it. What is nil was not given.
type fileFlag struct {
	Description       *string  `yaml:"description"`
	Owner             *string  `yaml:"owner"`
	Enabled           *bool    `yaml:"enabled"`
	RolloutPercentage *float64 `yaml:"rolloutPercentage"`
	AllowList         []string `yaml:"allowList"`
	DenyList          []string `yaml:"denyList"`
	Salt              *string  `yaml:"salt"`
	Hash              *string  `yaml:"hash"`
	Created           *date    `yaml:"created"`
	Expires           *date    `yaml:"expires"`
	OnExpiry          *string  `yaml:"onExpiry"`
	Inject            *bool    `yaml:"inject"`
	Public            *bool    `yaml:"public"`

	Metadata    map[string]any `yaml:"metadata"`
	Variants    []fileVariant  `yaml:"variants"`
	OffVariant  *string        `yaml:"offVariant"`
	VariantSalt *string        `yaml:"variantSalt"`
}

// bare reports whether nothing was given: the flag's line stands there alone,
// as in a file that somebody is still writing.
func (f *fileFlag) bare() bool {
	return f.Description == nil && f.Owner == nil && f.Enabled == nil && f.RolloutPercentage == nil &&
		f.AllowList == nil && f.DenyList == nil && f.Salt == nil && f.Hash == nil && f.Created == nil &&
		f.Expires == nil && f.OnExpiry == nil && f.Inject == nil && f.Public == nil &&
		f.Metadata == nil && f.Variants == nil && f.OffVariant == nil && f.VariantSalt == nil
}

// date is a day, midnight UTC.
type date struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *date) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil || t.Year() < 1970 {
		return errors.New("expected a day such as 2027-01-31")
	}
	d.Time = t
	return nil
}

// parser turns what the file says into definitions and collects what is wrong.
type parser struct {
	doc      *strictyaml.Doc
	prefix   string // of the path of a flag
	problems strictyaml.Problems
	warnings strictyaml.Problems
	spoilt   map[string]bool // paths that hold what could not be read
}

// unread takes what was wrong with the form of the file. The values that could
// be read are judged all the same.
func (p *parser) unread(err error) {
	errors.As(err, &p.problems)
	p.spoilt = map[string]bool{}
	for _, problem := range p.problems {
		for at := problem.Path; ; {
			p.spoilt[at] = true
			cut := strings.LastIndexAny(at, ".[")
			if cut < 0 {
				break
			}
			at = at[:cut]
		}
	}
}

func (p *parser) problem(path, reason string) {
	if len(p.problems) < maxProblems && !p.spoilt[path] {
		p.problems = append(p.problems, p.doc.Problem(path, reason))
	}
}

func (p *parser) warn(path, text string) {
	if len(p.warnings) < MaxWarnings {
		p.warnings = append(p.warnings, p.doc.Problem(path, text))
	}
}

func (p *parser) sortedWarnings() []string {
	var sorted strictyaml.Problems
	errors.As(p.warnings.Err(), &sorted)
	texts := make([]string, len(sorted))
	for i, w := range sorted {
		texts[i] = w.Error()
	}
	return texts
}

func (p *parser) flags(flags map[string]fileFlag) []*flag {
	if len(flags) > MaxFlags {
		p.problem("", fmt.Sprintf("holds more than %d flags", MaxFlags))
		return nil
	}
	entries := 0
	for _, f := range flags {
		entries += len(f.AllowList) + len(f.DenyList)
	}
	if entries > MaxListEntries {
		p.problem("", fmt.Sprintf("holds more than %d entries in allowList and denyList together", MaxListEntries))
		return nil
	}
	compiled := make([]*flag, 0, len(flags))
	for _, key := range slices.Sorted(maps.Keys(flags)) {
		f := flags[key]
		compiled = append(compiled, newFlag(p.definition(key, p.prefix+key, &f)))
	}
	return compiled
}

func (p *parser) definition(key, path string, f *fileFlag) Definition {
	if !validKey(key) {
		p.problem(path, fmt.Sprintf("a flag's key is 1 to %d letters, digits and . _ : / -, starting with a letter or a digit", MaxKeyBytes))
	}
	if f.bare() {
		p.problem(path, "has no settings")
	}
	def := Definition{
		Key:                key,
		Description:        p.text(path+".description", f.Description, "", MaxTextBytes),
		Owner:              p.text(path+".owner", f.Owner, "", MaxTextBytes),
		Enabled:            f.Enabled == nil || *f.Enabled,
		RolloutThousandths: p.percentage(path+".rolloutPercentage", f.RolloutPercentage),
		AllowList:          p.list(path+".allowList", f.AllowList),
		DenyList:           p.list(path+".denyList", f.DenyList),
		Salt:               p.text(path+".salt", f.Salt, key, MaxKeyBytes),
		Hash:               Hash(p.choice(path+".hash", f.Hash, hashNames)),
		OnExpiry:           OnExpiry(p.choice(path+".onExpiry", f.OnExpiry, onExpiryNames)),
		Inject:             f.Inject == nil || *f.Inject,
		Public:             f.Public != nil && *f.Public,
		Metadata:           p.metadata(path+".metadata", f.Metadata),
	}
	p.variants(path, f, &def)
	if f.Created != nil {
		def.Created = f.Created.Time
	}
	if f.Expires != nil {
		def.Expires = f.Expires.Time
		if def.Expires.Before(def.Created) {
			p.problem(path+".expires", "lies before created")
		}
	}
	p.doubts(path, f, &def)
	return def
}

// doubts warns of what is allowed but hardly meant.
func (p *parser) doubts(path string, f *fileFlag, def *Definition) {
	if n := overlap(def.AllowList, def.DenyList); n > 0 {
		p.warn(path+".allowList", fmt.Sprintf("%d of its entries are in denyList too, which wins", n))
	}
	if def.Enabled && f.RolloutPercentage == nil && len(f.AllowList) == 0 {
		p.warn(path, "is off for everyone: it has neither rolloutPercentage nor allowList")
	}
	if def.Salt == "" {
		p.warn(path+".salt", "is empty: all flags with an empty salt pick the same users")
	}
	if def.Hash == HashLaunchDarkly && f.Salt == nil {
		p.warn(path+".hash", "LaunchDarkly hashes its flag key and its own salt: give them as salt, with a dot between")
	}
	if f.OnExpiry != nil && f.Expires == nil {
		p.warn(path+".onExpiry", "has no effect without expires")
	}
}

func (p *parser) text(path string, given *string, otherwise string, maxBytes int) string {
	if given == nil {
		return otherwise
	}
	if len(*given) > maxBytes {
		p.problem(path, fmt.Sprintf("is longer than %d bytes", maxBytes))
	}
	return *given
}

// percentage turns a number into thousandths by its digits, without rounding.
func (p *parser) percentage(path string, given *float64) int {
	if given == nil {
		return 0
	}
	whole, fraction, _ := strings.Cut(strconv.FormatFloat(*given, 'f', -1, 64), ".")
	if *given < 0 || *given > 100 || len(fraction) > 3 {
		p.problem(path, "must be from 0 to 100, with at most three decimals")
		return 0
	}
	n, _ := strconv.Atoi(whole + (fraction + "000")[:3])
	return n
}

// list checks targeting keys and returns them sorted, each once.
func (p *parser) list(path string, given []string) []string {
	for i, id := range given {
		if id == "" || len(id) > MaxTargetingKeyBytes {
			p.problem(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("a targeting key is 1 to %d bytes", MaxTargetingKeyBytes))
		}
	}
	slices.Sort(given)
	return slices.Compact(given)
}

// choice is the name given, or the first of names when none was.
func (p *parser) choice(path string, given *string, names []string) string {
	if given == nil {
		return names[0]
	}
	if !slices.Contains(names, *given) {
		p.problem(path, "must be one of "+strings.Join(names, ", "))
	}
	return *given
}

// overlap counts what two sorted lists share.
func overlap(a, b []string) int {
	n := 0
	for _, id := range a {
		if _, found := slices.BinarySearch(b, id); found {
			n++
		}
	}
	return n
}
