package server

import (
	"net/http"
	"sync/atomic"
	"time"
)

// A dateCache holds the value of Date for the present second.
type dateCache struct{ now atomic.Pointer[date] }

type date struct {
	second int64
	text   string
}

func (c *dateCache) at(now time.Time) string {
	second := now.Unix()
	if d := c.now.Load(); d != nil && d.second == second {
		return d.text
	}
	d := &date{second, now.UTC().Format(http.TimeFormat)}
	c.now.Store(d)
	return d.text
}
