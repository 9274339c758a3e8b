package measure

import "syscall"

// ChildAttributes put a server in a group of its own, so that a terminal's
// Ctrl-C reaches this program alone, and end it when this program dies.
func ChildAttributes(end syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: end}
}
