package ratelimit

// Share is what one of n instances admits of l.
func (l Limit) Share(n int) Limit { return l.share(n) }
