package measure

import "time"

// ParseStat is what of /proc/PID/stat is read.
func ParseStat(text []byte) (parent int, cpu time.Duration, err error) {
	s, err := parseStat(text)
	return s.parent, s.cpu, err
}

// Kilobytes reads one line of /proc/PID/status.
func Kilobytes(status []byte, name string) int64 { return kilobytes(status, name) }
