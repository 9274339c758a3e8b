//go:build !linux

package testenv

import "syscall"

// setParentDeath does nothing: only Linux tells a child of its parent's death.
func setParentDeath(*syscall.SysProcAttr, syscall.Signal) {}
