package flags

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FieldChange is a setting before and after an edit, as text for people. Lists
// are told by their length, and what came and went, the rules of another format
// by their beginning.
type FieldChange struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// fieldChanges are the settings that differ.
type fieldChanges []FieldChange

func (c *fieldChanges) add(field, was, is string) {
	if was != is {
		*c = append(*c, FieldChange{field, was, is})
	}
}

// changedFields are the settings of a definition file that differ. Where either
// flag has rules of its own, the settings that are rules count for nothing.
func changedFields(f, g *flag) []FieldChange {
	var all fieldChanges
	before, after := &f.def, &g.def
	all.add("description", shownJSON(before.Description), shownJSON(after.Description))
	all.add("owner", shownJSON(before.Owner), shownJSON(after.Owner))
	all.add("enabled", shownJSON(before.Enabled), shownJSON(after.Enabled))
	native := !f.customised() && !g.customised()
	if native {
		all.addRules(before, after)
	} else if f.rules != g.rules || f.customised() != g.customised() {
		all = append(all, FieldChange{"rules", shownRules(f), shownRules(g)})
	}
	all.add("created", shownDay(before.Created), shownDay(after.Created))
	all.add("expires", shownDay(before.Expires), shownDay(after.Expires))
	all.add("onExpiry", shownJSON(before.OnExpiry), shownJSON(after.OnExpiry))
	all.add("inject", shownJSON(before.Inject), shownJSON(after.Inject))
	all.add("public", shownJSON(before.Public), shownJSON(after.Public))
	for _, key := range slices.Sorted(maps.Keys(union(before.Metadata, after.Metadata))) {
		all.add("metadata."+key, shownJSON(before.Metadata[key]), shownJSON(after.Metadata[key]))
	}
	all.add("variants", shownVariants(before.Variants, native), shownVariants(after.Variants, native))
	if native {
		all.add("offVariant", shownJSON(before.OffVariant), shownJSON(after.OffVariant))
		all.add("variantSalt", shownJSON(before.VariantSalt), shownJSON(after.VariantSalt))
	}
	return all
}

func (c *fieldChanges) addRules(before, after *Definition) {
	c.add("rolloutPercentage", shownPercentage(before.RolloutThousandths), shownPercentage(after.RolloutThousandths))
	c.addList("allowList", before.AllowList, after.AllowList)
	c.addList("denyList", before.DenyList, after.DenyList)
	c.add("salt", shownJSON(before.Salt), shownJSON(after.Salt))
	c.add("hash", shownJSON(before.Hash), shownJSON(after.Hash))
}

func union(a, b map[string]any) map[string]any {
	all := map[string]any{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

// addList compares sorted lists.
func (c *fieldChanges) addList(field string, before, after []string) {
	shared := overlap(after, before)
	if shared == len(before) && shared == len(after) {
		return
	}
	*c = append(*c, FieldChange{
		field, strconv.Itoa(len(before)),
		fmt.Sprintf("%d (%d new, %d gone)", len(after), len(after)-shared, len(before)-shared),
	})
}

// maxShownRules is how much of the rules of another format is told.
const maxShownRules = 12

func shownRules(f *flag) string {
	switch {
	case !f.customised():
		return "native"
	case f.rules == "":
		return "unknown"
	}
	return shortenTo(f.rules, maxShownRules)
}

func shownJSON(v any) string {
	text, err := json.Marshal(v)
	if v == nil || err != nil {
		return "none"
	}
	return string(text)
}

func shownDay(day time.Time) string {
	if day.IsZero() {
		return "none"
	}
	return day.Format(time.DateOnly)
}

func shownVariants(list []Variant, weights bool) string {
	if len(list) == 0 {
		return "none"
	}
	texts := make([]string, len(list))
	for i, one := range list {
		texts[i] = one.Name
		if weights {
			texts[i] += " " + strconv.Itoa(one.Weight)
		}
		if value := shownJSON(one.Value); value != shownJSON(one.Name) {
			texts[i] += " " + value
		}
	}
	return strings.Join(texts, ", ")
}

// shownPercentage is a percentage for people.
func shownPercentage(n int) string {
	return percentText(n).String() + " %"
}
