package flagd

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/handrail-go/handrail/flags"
)

// metadataOf reads metadata: single values.
func (p *parser) metadataOf(path string, given any) map[string]any {
	if given == nil {
		return nil
	}
	all, isMap := given.(map[string]any)
	if !isMap {
		p.problem(path, "expected a mapping")
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		switch v := all[key].(type) {
		case bool, int64, float64:
		case string:
			if len(v) > flags.MaxTextBytes {
				p.problem(path+"."+key, fmt.Sprintf("is longer than %d bytes", flags.MaxTextBytes))
			}
		default:
			p.problem(path+"."+key, "must be a text, a number, true or false")
		}
	}
	return all
}

// merged is the metadata of a flag: its own, and under it the file's.
func (p *parser) merged(path string, given any) map[string]any {
	own := p.metadataOf(path, given)
	if len(own)+len(p.metadata) == 0 {
		return nil
	}
	all := make(map[string]any, len(own)+len(p.metadata))
	maps.Copy(all, p.metadata)
	maps.Copy(all, own)
	if len(all) > flags.MaxMetadata+len(describing) {
		p.problem(path, fmt.Sprintf("has more than %d entries, with those of the file", flags.MaxMetadata+len(describing)))
	}
	return all
}

// Keys of metadata that fill a Definition.
const (
	keyOwner       = "owner"
	keyDescription = "description"
	keyCreated     = "created"
	keyExpires     = "expires"
	keyOnExpiry    = "onExpiry"
	keyInject      = "inject"
	keyPublic      = "public"
)

// describing are these keys. They come on top of what a flag may have.
var describing = []string{keyOwner, keyDescription, keyCreated, keyExpires, keyOnExpiry, keyInject, keyPublic}

// describe fills in what metadata tells about a flag. What has another form
// stays metadata, with a warning.
func (p *parser) describe(path string, def *flags.Definition) {
	metadata := def.Metadata
	def.Owner = described[string](p, path, metadata, keyOwner, "a text")
	def.Description = described[string](p, path, metadata, keyDescription, "a text")
	def.Created = p.day(path, metadata, keyCreated)
	def.Expires = p.day(path, metadata, keyExpires)
	if _, ok := metadata[keyInject]; ok {
		inject, isBool := metadata[keyInject].(bool)
		def.Inject = inject || !isBool
		described[bool](p, path, metadata, keyInject, "true or false")
	}
	def.Public = described[bool](p, path, metadata, keyPublic, "true or false")
	switch choice := flags.OnExpiry(described[string](p, path, metadata, keyOnExpiry, "a text")); choice {
	case "":
	case flags.ExpiryKeep, flags.ExpiryOn, flags.ExpiryOff:
		def.OnExpiry = choice
	default:
		p.undescribed(path, metadata, keyOnExpiry, "keep, on or off")
	}
}

// described is metadata of one type.
func described[T any](p *parser, path string, metadata map[string]any, key, form string) T {
	v, ok := metadata[key].(T)
	if !ok {
		p.undescribed(path, metadata, key, form)
	}
	return v
}

func (p *parser) day(path string, metadata map[string]any, key string) time.Time {
	text := described[string](p, path, metadata, key, "a day such as 2027-01-31")
	if text == "" {
		return time.Time{}
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil || day.Year() < 1970 {
		p.undescribed(path, metadata, key, "a day such as 2027-01-31")
		return time.Time{}
	}
	return day
}

func (p *parser) undescribed(path string, metadata map[string]any, key, form string) {
	if _, ok := metadata[key]; ok {
		p.warn(path+"."+key, "is not "+form+", and so is not taken for the flag's own")
	}
}
