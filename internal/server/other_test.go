//go:build !unix

package server_test

import (
	"testing"
	"time"
)

func smallReceiveBuffer(uintptr)       {}
func descriptors() int                 { return 0 }
func cpuTime(testing.TB) time.Duration { return 0 }
