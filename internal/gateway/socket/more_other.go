//go:build !linux

package socket

import "errors"

const messageMore = 0 // not known here

func sendMore(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
