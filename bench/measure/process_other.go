//go:build !linux

package measure

import "syscall"

// ChildAttributes is of use where runs are made at all, which is Linux.
func ChildAttributes(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
