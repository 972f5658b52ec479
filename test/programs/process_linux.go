package programs

import "syscall"

// childAttr puts a child into its own process group and has the kernel end it when we end, however we end.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
