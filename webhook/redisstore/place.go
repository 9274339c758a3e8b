package redisstore

import (
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"strings"
)

// place is where a page ended.
type place struct {
	servers uint64 // the hash of which they were
	server  int
	cursor  uint64
	// held are the hashes of those keys at cursor that were on pages before.
	held []uint64
}

func (p *place) advance(cursor uint64) {
	p.cursor, p.held = cursor, nil
	if cursor == 0 {
		p.server++
	}
}

func (p *place) hold(key string) { p.held = append(p.held, hashOf(key)) }

func (p *place) holds(key string) bool {
	return len(p.held) > 0 && slices.Contains(p.held, hashOf(key))
}

// String is what List gives as After; empty at the end.
func (p *place) String() string {
	if p.servers == 0 {
		return ""
	}
	words := []string{strconv.FormatUint(p.servers, 36), strconv.FormatInt(int64(p.server), 36), strconv.FormatUint(p.cursor, 36)}
	for _, h := range p.held {
		words = append(words, strconv.FormatUint(h, 36))
	}
	return strings.Join(words, "-")
}

// readPlace reads what String writes.
func readPlace(after string) (place, bool) {
	if after == "" {
		return place{}, true
	}
	words := strings.Split(after, "-")
	if len(words) < 3 || len(words) > 3+listCount {
		return place{}, false
	}
	numbers := make([]uint64, len(words))
	for i, word := range words {
		n, err := strconv.ParseUint(word, 36, 64)
		if err != nil {
			return place{}, false
		}
		numbers[i] = n
	}
	if numbers[0] == 0 || numbers[1] > 1<<20 {
		return place{}, false
	}
	return place{numbers[0], int(numbers[1]), numbers[2], numbers[3:]}, true
}

// hashOf is never 0.
func hashOf(parts ...string) uint64 {
	h := fnv.New64a()
	for _, part := range parts {
		_, _ = io.WriteString(h, part+"\n")
	}
	return h.Sum64() | 1
}
