//go:build !linux

package main

import (
	"errors"
	"syscall"
	"time"
)

var errNoProc = errors.New("the CPU time and memory of another process are read from /proc, which only Linux has")

func childAttr() *syscall.SysProcAttr { return nil }

func cpuOf(int) (time.Duration, error) { return 0, errNoProc }

func residentBytes(int) (int64, error) { return 0, errNoProc }

func peakBytes(int) (int64, error) { return 0, errNoProc }

func resetPeak(int) error { return errNoProc }

func descriptors(int) (int, error) { return 0, errNoProc }

func freeBytes(string) (int64, error) { return 0, errors.ErrUnsupported }
