package harness

import "syscall"

// childAttr has the kernel end a child with us, however we end.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
