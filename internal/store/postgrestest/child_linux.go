package postgrestest

import "syscall"

// childAttr has the kernel shut the server down, at once but with its children, when we end, however we end.
func childAttr(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGQUIT, Credential: as}
}
