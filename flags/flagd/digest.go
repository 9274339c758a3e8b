package flagd

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
)

// digester says what flags decide by as a digest each: text would hold a large
// evaluator once per flag that refers to it. A reference counts as what it refers
// to, so that neither the name of an evaluator matters nor that there is one.
// Rules were found to be without circles before.
type digester struct {
	evaluators map[string]any
	done       map[string]digest // by evaluator
}

type digest [sha256.Size]byte

// flag is about what the Definition of f does not tell.
func (d *digester) flag(f *flag, targeting any) string {
	var otherwise any // null, as for a flag without
	if f.otherwise != nil {
		otherwise = f.otherwise.name
	}
	if f.targeting == nil {
		targeting = nil
	}
	sum := d.list([]any{otherwise, targeting})
	return hex.EncodeToString(sum[:])
}

func (d *digester) list(values []any) digest {
	text := []byte{'['}
	for _, v := range values {
		text = d.append(text, v)
	}
	return sha256.Sum256(text)
}

func (d *digester) mapping(values map[string]any) digest {
	if len(values) == 1 {
		if name, isText := values["$ref"].(string); isText {
			if rule, exists := d.evaluators[name]; exists {
				return d.evaluator(name, rule)
			}
		}
	}
	text := []byte{'{'}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		text = d.append(d.append(text, key), values[key])
	}
	return sha256.Sum256(text)
}

func (d *digester) evaluator(name string, rule any) digest {
	sum, known := d.done[name]
	if !known {
		values, _ := rule.(map[string]any)
		sum = d.mapping(values)
		d.done[name] = sum
	}
	return sum
}

// append appends a value such that no two lists of values give the same text.
func (d *digester) append(text []byte, v any) []byte {
	var sum digest
	switch v := plain(v).(type) {
	case nil:
		return append(text, 'n')
	case bool:
		return append(strconv.AppendBool(append(text, 'b'), v), ',')
	case float64:
		return append(strconv.AppendFloat(append(text, 'f'), v, 'g', -1, 64), ',')
	case string:
		return append(append(strconv.AppendInt(append(text, 's'), int64(len(v)), 10), ','), v...)
	case []any:
		sum = d.list(v)
	case map[string]any:
		sum = d.mapping(v)
	}
	return append(append(text, 'd'), sum[:]...)
}
