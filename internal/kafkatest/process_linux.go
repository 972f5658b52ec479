package kafkatest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// childAttr puts a child into its own process group and has the kernel end it when we end, however we end.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitStopped waits until every thread of a process that got SIGSTOP stands still: one that is on a processor, or
// waits for one, goes on for a moment.
func awaitStopped(pid int) error {
	const most = 30 * time.Second
	for deadline := time.Now().Add(most); ; time.Sleep(time.Millisecond) {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil {
			return err
		}
		moving := ""
		for _, task := range tasks {
			stat, err := os.ReadFile(task)
			if err != nil {
				continue // it has ended
			}
			_, state, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
			if state == "" || state[0] != 'T' && state[0] != 'Z' && state[0] != 'X' {
				moving = string(stat)
			}
		}
		if len(tasks) > 0 && moving == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d has not stopped in %v: %s", pid, most, moving)
		}
	}
}
