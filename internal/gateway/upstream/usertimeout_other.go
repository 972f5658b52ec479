//go:build !linux

package upstream

import "syscall"

func setUserTimeout(_, _ string, _ syscall.RawConn) error { return nil }
