package measure

import (
	"fmt"
	"slices"
)

// A Spread is the median of some values, and how far they reach.
type Spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Count  int     `json:"count"`
}

// SpreadOf is the spread of the values, which stay as they are.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(values))
	mid := len(v) / 2
	s := Spread{Median: v[mid], Low: v[0], High: v[len(v)-1], Count: len(v)}
	if len(v)%2 == 0 {
		s.Median = (v[mid-1] + v[mid]) / 2
	}
	return s
}

// Text is the median and in parentheses the extremes, "" for no values.
func (s Spread) Text(format string) string {
	switch s.Count {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf(format, s.Median)
	}
	return fmt.Sprintf(format+" ("+format+"–"+format+")", s.Median, s.Low, s.High)
}
