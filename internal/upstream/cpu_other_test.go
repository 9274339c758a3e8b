//go:build !unix

package upstream_test

import (
	"testing"
	"time"
)

func cpuTime(testing.TB) time.Duration { return 0 }
