package main

import "syscall"

// childAttributes put a server in a group of its own, so that a terminal's
// Ctrl-C reaches this program alone, and end it when this program dies.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
