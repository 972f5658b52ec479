package robust

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/test/harness"
)

// How the network cuts bytes into segments, or puts them together, changes no answer.
func TestSegmentsChangeNothing(t *testing.T) {
	w := start(t, options{})
	front, err := NewLine(w.Bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Close)
	s := &session{user: troubled, patience: 20 * time.Second, value: "first"}
	if s.conn, err = net.Dial("tcp", w.Bootstrap); err != nil {
		t.Fatal(err)
	}
	defer s.conn.Close()
	if err := s.whole(); err != nil {
		t.Fatal(err)
	}
	want := pipelined(t, w.Bootstrap, 100<<10)
	sizes := []int{-1, 1, 2, 3, 5, 8, 13, 61}
	if harness.Full() {
		for n := range 256 {
			sizes = append(sizes, n+1)
		}
	}
	before := w.rest()
	for _, n := range sizes {
		large := 100 << 10
		if n > 0 {
			large = min(large, 500*n) // each segment takes its time
		}
		for name, f := range map[string]Fault{
			"requests": {Up: Way{Segment: n}}, "answers": {Down: Way{Segment: n}}, "both": {Up: Way{Segment: n}, Down: Way{Segment: n}},
		} {
			for where, line := range map[string]*Line{"in front": front, "behind": w.line} {
				line.Break(&f)
				got := pipelined(t, front.Addr().String(), large)
				line.Break(nil)
				for i := range want {
					if !bytes.Equal(got[i], want[i]) {
						t.Errorf("%s of %d bytes %s of the gateway: answer %d is\n%x, unsplit it was\n%x", name, n, where, i, got[i], want[i])
					}
				}
			}
		}
		// And a session that waits for each answer.
		f := Fault{Up: Way{Segment: n}, Down: Way{Segment: n}}
		front.Break(&f)
		w.line.Break(&f)
		conn, err := net.Dial("tcp", front.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		s := &session{conn: conn, user: troubled, value: fmt.Sprintf("split-%d", n), patience: 20 * time.Second}
		if err := s.whole(); err != nil {
			t.Errorf("segments of %d bytes: %v", n, err)
		}
		conn.Close()
		front.Break(nil)
		w.line.Break(nil)
	}
	w.backTo(before, 20*time.Second)
}

// pipelined writes all requests of a session at once, a record of so many bytes among them, and returns the answers, but for what must differ.
func pipelined(t *testing.T, address string, large int) [][]byte {
	t.Helper()
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.Version, versions.ClientSoftwareName, versions.ClientSoftwareVersion = 3, "robust", "1"
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, "PLAIN"
	authenticate := kmsg.NewPtrSASLAuthenticateRequest()
	authenticate.Version, authenticate.SASLAuthBytes = 2, []byte("\x00"+troubled+"\x00"+password)
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKeys = 4, []string{"a group"}
	offsets := kmsg.NewPtrOffsetFetchRequest()
	offsets.Version, offsets.Group = 6, "a group"
	offsets.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: exposed, Partitions: []int32{0}}}
	foreign := metadata().(*kmsg.MetadataRequest)
	foreign.Topics[0].Topic = kmsg.StringPtr("nobody-granted-this")
	requests := []kmsg.Request{versions, handshake, authenticate, metadata(), fetchOf(0, 1), foreign, fetchOf(1, 1), find, offsets,
		produceOf("a record", -1), produceOf("unanswered", 0), produceOf(strings.Repeat("large", large/5), -1), fetchOf(0, 1), metadata()}
	var stream []byte
	for i, req := range requests {
		stream = append(stream, formatter.AppendRequest(nil, req, int32(i))...)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	sent := make(chan error, 1)
	go func() { _, err := conn.Write(stream); sent <- err }()
	var answers [][]byte
	for i, req := range requests {
		if p, ok := req.(*kmsg.ProduceRequest); ok && p.Acks == 0 {
			continue
		}
		frame, err := readFrame(conn)
		if err != nil {
			t.Fatalf("answer to %s: %v", kmsg.NameForKey(req.Key()), err)
		}
		resp, err := parse(req, int32(i), frame)
		if err != nil {
			t.Fatal(err)
		}
		switch r := resp.(type) {
		case *kmsg.ProduceResponse:
			p := &r.Topics[0].Partitions[0]
			if p.ErrorCode != 0 {
				t.Fatalf("Produce: error code %d", p.ErrorCode)
			}
			p.BaseOffset, p.LogAppendTime = 0, 0
			frame = r.AppendTo(nil)
		case *kmsg.FetchResponse: // what others have produced meanwhile
			p := &r.Topics[0].Partitions[0]
			p.HighWatermark, p.LastStableOffset = 0, 0
			frame = r.AppendTo(nil)
		}
		answers = append(answers, frame)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	return answers
}
