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
// are told by their length, and what came and went.
type FieldChange struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// changedFields are the settings of a definition file that differ.
func changedFields(before, after Definition) []FieldChange {
	var all []FieldChange
	add := func(field, was, is string) {
		if was != is {
			all = append(all, FieldChange{field, was, is})
		}
	}
	add("description", shownJSON(before.Description), shownJSON(after.Description))
	add("owner", shownJSON(before.Owner), shownJSON(after.Owner))
	add("enabled", shownJSON(before.Enabled), shownJSON(after.Enabled))
	add("rolloutPercentage", shownPercentage(before.RolloutThousandths), shownPercentage(after.RolloutThousandths))
	all = append(all, changedList("allowList", before.AllowList, after.AllowList)...)
	all = append(all, changedList("denyList", before.DenyList, after.DenyList)...)
	add("salt", shownJSON(before.Salt), shownJSON(after.Salt))
	add("hash", shownJSON(before.Hash), shownJSON(after.Hash))
	add("created", shownDay(before.Created), shownDay(after.Created))
	add("expires", shownDay(before.Expires), shownDay(after.Expires))
	add("onExpiry", shownJSON(before.OnExpiry), shownJSON(after.OnExpiry))
	add("inject", shownJSON(before.Inject), shownJSON(after.Inject))
	add("public", shownJSON(before.Public), shownJSON(after.Public))
	for _, key := range slices.Sorted(maps.Keys(union(before.Metadata, after.Metadata))) {
		add("metadata."+key, shownJSON(before.Metadata[key]), shownJSON(after.Metadata[key]))
	}
	add("variants", shownVariants(before.Variants), shownVariants(after.Variants))
	add("offVariant", shownJSON(before.OffVariant), shownJSON(after.OffVariant))
	add("variantSalt", shownJSON(before.VariantSalt), shownJSON(after.VariantSalt))
	return all
}

func union(a, b map[string]any) map[string]any {
	all := map[string]any{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

// changedList compares sorted lists.
func changedList(field string, before, after []string) []FieldChange {
	shared := overlap(after, before)
	if shared == len(before) && shared == len(after) {
		return nil
	}
	return []FieldChange{{
		field, strconv.Itoa(len(before)),
		fmt.Sprintf("%d (%d new, %d gone)", len(after), len(after)-shared, len(before)-shared),
	}}
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

func shownVariants(list []Variant) string {
	if len(list) == 0 {
		return "none"
	}
	texts := make([]string, len(list))
	for i, one := range list {
		texts[i] = fmt.Sprintf("%s %d", one.Name, one.Weight)
		if value := shownJSON(one.Value); value != shownJSON(one.Name) {
			texts[i] += " " + value
		}
	}
	return strings.Join(texts, ", ")
}

// shownPercentage is a percentage for people.
func shownPercentage(n int) string {
	return strconv.FormatFloat(float64(n)/1000, 'f', -1, 64) + " %"
}
