//go:build !linux

package main

import "syscall"

// childAttributes is of use where runBench runs at all, which is Linux.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
