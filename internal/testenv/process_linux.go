package testenv

import "syscall"

// setParentDeath makes the kernel send s to the child when the thread that
// started it ends, which is when the test binary ends, however it ends.
func setParentDeath(attr *syscall.SysProcAttr, s syscall.Signal) { attr.Pdeathsig = s }
