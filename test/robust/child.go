package robust

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/xdg-go/scram"
)

// roleVariable makes the test binary one of the crowds, a process of its own, so that its sockets and the gateway's do
// not share a limit. A crowd reads its job from stdin, answers once it is where it should be, and stays until stdin ends.
const roleVariable = "SLUICE_ROBUST_ROLE"

// job is what a crowd is told.
type job struct {
	Address string
	Count   int
	User    string
	Again   bool // logins: come back, once, when the connection has ended, and answer a second time
}

// result is what a crowd answers.
type result struct {
	Done, Failed, Retries int
	Took                  time.Duration
	Errors                []string
}

var roles = map[string]func(context.Context, job) result{"logins": logins, "silent": silentCrowd, "loris": loris}

// childMain runs a role and returns the exit code.
func childMain(role string) int {
	in := json.NewDecoder(os.Stdin)
	var j job
	if err := in.Decode(&j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
		close(gone)
	}()
	if err := json.NewEncoder(os.Stdout).Encode(roles[role](ctx, j)); err != nil {
		return 1
	}
	if j.Again {
		if err := json.NewEncoder(os.Stdout).Encode(comeBack(ctx, j)); err != nil {
			return 1
		}
	}
	<-gone
	return 0
}

// crowd is a running child.
type crowd struct {
	answers *json.Decoder
	stdin   io.Closer
	done    chan error
}

func startCrowd(tb testing.TB, role string, j job) *crowd {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command("nice", "-n", "19", self) // the crowd stands for other machines: what runs here comes first
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, out, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stdout = out
	c := &crowd{answers: json.NewDecoder(stdout), stdin: stdin, done: make(chan error, 1)}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // Pdeathsig is about the thread that starts the child
		err := cmd.Start()
		out.Close()
		started <- err
		if err == nil {
			c.done <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.disperse(tb); stdout.Close() })
	if err := json.NewEncoder(stdin).Encode(j); err != nil {
		tb.Fatal(err)
	}
	return c
}

// arrived waits for the crowd's answer.
func (c *crowd) arrived(tb testing.TB, limit time.Duration) result {
	tb.Helper()
	got := make(chan error, 1)
	var r result
	go func() { got <- c.answers.Decode(&r) }()
	select {
	case err := <-got:
		if err != nil {
			tb.Fatal("the crowd gave no answer: ", err)
		}
	case <-time.After(limit):
		tb.Fatalf("the crowd is not there after %v", limit)
	}
	return r
}

// disperse ends the crowd; calling it again does nothing.
func (c *crowd) disperse(tb testing.TB) {
	tb.Helper()
	c.stdin.Close()
	if err, ok := <-c.done; ok {
		close(c.done)
		if err != nil {
			tb.Errorf("the crowd: %v", err)
		}
	}
}

// from is the i-th of 200 loopback addresses.
func from(i int) *net.TCPAddr {
	return &net.TCPAddr{IP: net.IPv4(127, 1, byte(i%200/100), byte(1+i%100))}
}

// logins logs in all at once, by TLS and SCRAM, each as patient as a client is, and keeps the connections.
func logins(ctx context.Context, j job) result {
	begin := time.Now()
	return eachLogsIn(ctx, j, func(int) time.Time { return begin })
}

// comeBack waits until the connections have ended and logs in again. It took from the first end to the last login.
func comeBack(ctx context.Context, j job) result {
	return eachLogsIn(ctx, j, func(i int) time.Time {
		if conn, ok := kept.Load(i); ok {
			conn.(net.Conn).Read(make([]byte, 1))
			conn.(net.Conn).Close()
		}
		return time.Now()
	})
}

// eachLogsIn has one login after the other end of ready, which says since when it counts.
func eachLogsIn(ctx context.Context, j job, ready func(i int) time.Time) result {
	client, err := scram.SHA256.NewClient(j.User, password, "")
	if err != nil {
		return result{Failed: j.Count, Errors: []string{err.Error()}}
	}
	var (
		mu    sync.Mutex
		r     result
		all   sync.WaitGroup
		first time.Time
	)
	for i := range j.Count {
		all.Go(func() {
			begin := ready(i)
			attempts, err := patient(ctx, j.Address, i, client)
			mu.Lock()
			defer mu.Unlock()
			if first.IsZero() || begin.Before(first) {
				first = begin
			}
			r.Retries += attempts
			if err == nil {
				r.Done++
			} else if r.Failed++; len(r.Errors) < 5 {
				r.Errors = append(r.Errors, err.Error())
			}
		})
	}
	all.Wait()
	r.Took = time.Since(first)
	return r
}

// patient tries to log in as long as a client does.
func patient(ctx context.Context, address string, i int, client *scram.Client) (retries int, err error) {
	pause := 100 * time.Millisecond
	for ; retries < 20; retries++ {
		conn, e := scramLogin(ctx, address, from(i), client)
		if err = e; err == nil {
			kept.Store(i, conn)
			return retries, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return retries, ctx.Err()
		}
		pause = min(2*pause, 2*time.Second)
	}
	return retries, err
}

// kept are the connections of a crowd, by number.
var kept sync.Map

func scramLogin(ctx context.Context, address string, local net.Addr, client *scram.Client) (net.Conn, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{LocalAddr: local, Timeout: 30 * time.Second}, Config: &tls.Config{InsecureSkipVerify: true}}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, patience: 20 * time.Second}
	if err := s.scram(client); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, conn.SetDeadline(time.Time{})
}

// scram proves who it is by SCRAM-SHA-256 (RFC 7677).
func (s *session) scram(client *scram.Client) error {
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.Version, versions.ClientSoftwareName, versions.ClientSoftwareVersion = 3, "robust", "1"
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, "SCRAM-SHA-256"
	for _, req := range []kmsg.Request{versions, handshake} {
		resp, err := s.ask(req)
		if err != nil {
			return err
		}
		if err := code(resp); err != nil {
			return err
		}
	}
	conversation, challenge := client.NewConversation(), ""
	for !conversation.Done() {
		text, err := conversation.Step(challenge)
		if err != nil {
			return err
		}
		if conversation.Done() {
			break
		}
		authenticate := kmsg.NewPtrSASLAuthenticateRequest()
		authenticate.Version, authenticate.SASLAuthBytes = 2, []byte(text)
		resp, err := s.ask(authenticate)
		if err != nil {
			return err
		}
		if err := code(resp); err != nil {
			return err
		}
		challenge = string(resp.(*kmsg.SASLAuthenticateResponse).SASLAuthBytes)
	}
	if !conversation.Valid() {
		return errors.New("the server has not proved that it knows the secret")
	}
	return nil
}

// silentCrowd opens connections that never speak, a new one for each that ends.
func silentCrowd(ctx context.Context, j job) result {
	var opened, failed atomic.Int64
	begin := time.Now()
	var first sync.WaitGroup
	for i := range j.Count {
		first.Add(1)
		go func() {
			once := sync.OnceFunc(first.Done)
			defer once()
			for ctx.Err() == nil {
				d := net.Dialer{LocalAddr: from(i), Timeout: 20 * time.Second}
				conn, err := d.DialContext(ctx, "tcp", j.Address)
				if err != nil {
					failed.Add(1)
				} else {
					opened.Add(1)
				}
				once()
				if err == nil {
					stop := context.AfterFunc(ctx, func() { conn.Close() })
					conn.Read(make([]byte, 1)) // until the gateway ends it
					stop()
					conn.Close()
				}
				select { // as long as one waits who has been turned away
				case <-time.After(3 * time.Second):
				case <-ctx.Done():
				}
			}
		}()
	}
	first.Wait()
	return result{Done: int(opened.Load()), Failed: int(failed.Load()), Took: time.Since(begin)}
}

// loris begins TLS handshakes and sends a byte at a time, for as long as it is let.
func loris(ctx context.Context, j job) result {
	var first sync.WaitGroup
	begin := time.Now()
	for i := range j.Count {
		first.Add(1)
		go func() {
			once := sync.OnceFunc(first.Done)
			defer once()
			for ctx.Err() == nil {
				d := net.Dialer{LocalAddr: from(i), Timeout: 20 * time.Second}
				conn, err := d.DialContext(ctx, "tcp", j.Address)
				if err == nil {
					hello := []byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3} // a ClientHello of 512 bytes begins so
					for n := 0; ctx.Err() == nil; n++ {
						b := []byte{0}
						if n < len(hello) {
							b[0] = hello[n]
						}
						if _, err := conn.Write(b); err != nil {
							break
						}
						if n == 3 {
							once()
						}
						time.Sleep(200 * time.Millisecond) // how slow it is
					}
					conn.Close()
				}
				once()
			}
		}()
	}
	first.Wait()
	return result{Done: j.Count, Took: time.Since(begin)}
}
