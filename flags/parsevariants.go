package flags

import (
	"fmt"
)

// fileVariant is a variant as the file has it. What is nil was not given.
type fileVariant struct {
	Name   *string `yaml:"name"`
	Weight *int    `yaml:"weight"`
	Value  any     `yaml:"value"`
}

// maxWeight bounds the sum of a flag's weights as flagd does.
const maxWeight = 1<<31 - 1

// variants reads those of a flag into def.
func (p *parser) variants(path string, f *fileFlag, def *Definition) {
	if f.Variants == nil {
		if f.OffVariant != nil {
			p.problem(path+".offVariant", "has no effect without variants")
		}
		if f.VariantSalt != nil {
			p.problem(path+".variantSalt", "has no effect without variants")
		}
		return
	}
	if n := len(f.Variants); n == 0 || n > MaxVariants {
		p.problem(path+".variants", fmt.Sprintf("must be 1 to %d", MaxVariants))
		return
	}
	sum, seen, kind := 0, map[string]bool{}, ""
	for i, given := range f.Variants {
		at := fmt.Sprintf("%s.variants[%d]", path, i)
		v := p.variant(at, given)
		if seen[v.Name] {
			p.problem(at+".name", "is the name of an earlier variant")
		}
		seen[v.Name] = true
		switch k := kindOf(v.Value); {
		case kind == "":
			kind = k
		case k != kind:
			p.problem(at+".value", fmt.Sprintf("must be %s, as the value of the first variant is", kind))
		}
		sum += v.Weight
		def.Variants = append(def.Variants, v)
	}
	if sum < 1 || sum > maxWeight {
		p.problem(path+".variants", fmt.Sprintf("their weights must add up to 1 to %d", maxWeight))
	}
	def.OffVariant = p.text(path+".offVariant", f.OffVariant, "", MaxKeyBytes)
	if f.OffVariant != nil && !seen[def.OffVariant] {
		p.problem(path+".offVariant", "is none of the variants")
	}
	def.VariantSalt = p.text(path+".variantSalt", f.VariantSalt, def.Salt+"/variants", MaxKeyBytes)
}

func (p *parser) variant(path string, given fileVariant) Variant {
	v := Variant{Weight: 1, Value: given.Value}
	if given.Name == nil {
		p.problem(path+".name", "is required")
	} else if v.Name = *given.Name; !validKey(v.Name) {
		p.problem(path+".name", fmt.Sprintf("a variant's name is 1 to %d letters, digits and . _ : / -, starting with a letter or a digit", MaxKeyBytes))
	}
	if given.Weight != nil {
		v.Weight = *given.Weight
		if v.Weight < 0 || v.Weight > maxWeight {
			p.problem(path+".weight", fmt.Sprintf("must be 0 to %d", maxWeight))
			v.Weight = 1
		}
	}
	if v.Value == nil {
		v.Value = v.Name
	}
	return v
}

// kindOf tells the kinds of values apart that callers ask for.
func kindOf(value any) string {
	switch value.(type) {
	case bool:
		return "true or false"
	case string:
		return "a string"
	case int64, float64:
		return "a number"
	}
	return "a mapping or a list"
}

// metadata takes what a decision can tell: single values.
func (p *parser) metadata(path string, given map[string]any) map[string]any {
	if len(given) == 0 {
		return nil
	}
	if len(given) > MaxMetadata {
		p.problem(path, fmt.Sprintf("has more than %d entries", MaxMetadata))
	}
	for key, value := range given {
		switch v := value.(type) {
		case bool, int64, float64:
		case string:
			if len(v) > MaxTextBytes {
				p.problem(path+"."+key, fmt.Sprintf("is longer than %d bytes", MaxTextBytes))
			}
		default:
			p.problem(path+"."+key, "must be a string, a number, true or false")
		}
	}
	return given
}
