package socket

import "syscall"

const messageMore = syscall.MSG_MORE

func sendMore(fd uintptr, b []byte) (int, error) {
	return syscall.SendmsgN(int(fd), b, nil, nil, messageMore|syscall.MSG_NOSIGNAL)
}
