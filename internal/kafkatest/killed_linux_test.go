package kafkatest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestNothingIsLeftByAKilledProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	cmd := exec.Command(self, "killed")
	cmd.Env, cmd.Stderr = append(os.Environ(), "TMPDIR="+tmp), os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var address, dir string
	_, err = fmt.Fscan(stdout, &address, &dir)
	if err != nil {
		t.Error(err)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	before := time.Now().Add(-time.Hour) // old enough to be swept
	if err := os.Chtimes(filepath.Join(dir, lockFile), before, before); err != nil {
		t.Fatal(err)
	}
	sweep(tmp)
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("sweep took the folder of a running cluster: %v", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the broker still holds its connection: %v", err)
	}
	sweep(tmp)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}
