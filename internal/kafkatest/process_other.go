//go:build !linux

package kafkatest

import "syscall"

// childAttr puts a child into its own process group.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitStopped cannot be told here.
func awaitStopped(int) error { return nil }
