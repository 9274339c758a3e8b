package sidecar

import "syscall"

// childAttr makes a process group, and asks the kernel to stop the app should
// the sidecar be killed: it would be left running without its safeguards.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
