package flags

// Variant is one of the values of a flag that has several.
//
// Of those whom the flag is on for, each variant gets its weight's share:
// murmur3_x86_32 over VariantSalt and targeting key, times the sum of the
// weights, divided by 2^32, falls into the share of one. That is flagd's
// fractional operator. The salt differs from that of the rollout, whose users
// would all get the first variant otherwise; so a change of rolloutPercentage
// moves nobody from one variant to another.
type Variant struct {
	// Name is as the key of a flag. It is different for each variant.
	Name string
	// Weight is the variant's share in the sum of all. The file's default is 1;
	// 0 is for nobody.
	Weight int
	// Value is a bool, string, int64, float64, []any or map[string]any, of the
	// same kind in each variant. The file's default is the Name.
	Value any
}

// variants are those of one flag, ready for evaluation.
type variants struct {
	list  []Variant
	total uint64
	salt  string
	lone  *Variant // the only one that has a weight; nil with several
	off   *Variant // nil without
}

func newVariants(def *Definition) *variants {
	if len(def.Variants) == 0 {
		return nil
	}
	v := &variants{list: def.Variants, salt: def.VariantSalt}
	weighty := 0
	for i := range v.list {
		if v.list[i].Name == def.OffVariant {
			v.off = &v.list[i]
		}
		if v.list[i].Weight > 0 {
			v.total += uint64(v.list[i].Weight)
			v.lone = &v.list[i]
			weighty++
		}
	}
	if weighty > 1 {
		v.lone = nil
	}
	return v
}

// pick is the variant of a targeting key, and its place among all weights.
func (v *variants) pick(targetingKey string) (*Variant, uint64) {
	place := uint64(joinedMurmur3(v.salt, targetingKey)) * v.total >> 32
	end := uint64(0)
	for i := range v.list {
		end += uint64(v.list[i].Weight)
		if place < end {
			return &v.list[i], place
		}
	}
	return nil, place // place is below the sum of the weights
}

// variantDecision is what the rules said about a flag with variants, into d,
// which is zero.
func (f *flag) variantDecision(d *Decision, targetingKey string, on bool, r rule) {
	d.Key, d.On, d.Reason, d.Metadata = f.def.Key, on, reasons[r], f.def.Metadata
	got := f.variants.off
	switch {
	case r == ruleNoTargetingKey:
		d.ErrorCode = ErrorTargetingKeyMissing
		return
	case on && f.variants.lone != nil:
		got = f.variants.lone
	case on && targetingKey == "":
		d.On, d.Reason, d.ErrorCode = false, ReasonError, ErrorTargetingKeyMissing
		return
	case on:
		got, _ = f.variants.pick(targetingKey)
		if r != ruleAllowed {
			d.Reason = ReasonSplit
		}
	}
	if got != nil {
		d.Value, d.Variant = got.Value, got.Name
	}
}
