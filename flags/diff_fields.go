package flags

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
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
	add := func(field string, was, is any, text func(any) string) {
		if !reflect.DeepEqual(was, is) {
			all = append(all, FieldChange{field, text(was), text(is)})
		}
	}
	add("description", before.Description, after.Description, shownJSON)
	add("owner", before.Owner, after.Owner, shownJSON)
	add("enabled", before.Enabled, after.Enabled, shownJSON)
	add("rolloutPercentage", before.RolloutThousandths, after.RolloutThousandths, func(v any) string { return shownPercentage(v.(int)) })
	all = append(all, changedList("allowList", before.AllowList, after.AllowList)...)
	all = append(all, changedList("denyList", before.DenyList, after.DenyList)...)
	add("salt", before.Salt, after.Salt, shownJSON)
	add("hash", before.Hash, after.Hash, shownJSON)
	add("created", before.Created, after.Created, shownDay)
	add("expires", before.Expires, after.Expires, shownDay)
	add("onExpiry", before.OnExpiry, after.OnExpiry, shownJSON)
	add("inject", before.Inject, after.Inject, shownJSON)
	add("public", before.Public, after.Public, shownJSON)
	for _, key := range slices.Sorted(maps.Keys(union(before.Metadata, after.Metadata))) {
		add("metadata."+key, before.Metadata[key], after.Metadata[key], shownJSON)
	}
	add("variants", before.Variants, after.Variants, shownVariants)
	add("offVariant", before.OffVariant, after.OffVariant, shownJSON)
	add("variantSalt", before.VariantSalt, after.VariantSalt, shownJSON)
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

func shownDay(v any) string {
	day := v.(time.Time)
	if day.IsZero() {
		return "none"
	}
	return day.Format(time.DateOnly)
}

func shownVariants(v any) string {
	list := v.([]Variant)
	if len(list) == 0 {
		return "none"
	}
	text := ""
	for i, one := range list {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s %d", one.Name, one.Weight)
		if value := shownJSON(one.Value); value != shownJSON(one.Name) {
			text += " " + value
		}
	}
	return text
}

// shownPercentage is a percentage for people.
func shownPercentage(n int) string {
	return strconv.FormatFloat(float64(n)/1000, 'f', -1, 64) + " %"
}
