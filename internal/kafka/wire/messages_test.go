package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/kafka/wire"
	"sluice/internal/kafka/wire/wiretest"
)

// seed is where generated messages begin: SLUICE_SEED replays a run.
func seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("SLUICE_SEED")
	if text == "" {
		return 1
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("SLUICE_SEED: %v", err)
	}
	return n
}

// rounds is n in the sample and full with SLUICE_FULL=1.
func rounds(n, full int) int {
	if os.Getenv("SLUICE_FULL") == "1" {
		return full
	}
	return n
}

type decoder interface {
	SetVersion(int16)
	MaxVersion() int16
	AppendTo([]byte) []byte
	ReadFrom([]byte) error
}

// kmsgOf is kmsg's message, nil where it has none.
func kmsgOf(key, version int16, response bool) decoder {
	var d decoder
	if response {
		if r := kmsg.ResponseForKey(key); r != nil {
			d = r
		}
	} else if r := kmsg.RequestForKey(key); r != nil {
		d = r
	}
	if d == nil || version > d.MaxVersion() {
		return nil
	}
	d.SetVersion(version)
	return d
}

// Every valid message of every key and version, in both directions, passes the
// check; another reader of the same schema agrees on every field, and kmsg
// decodes it and encodes the same bytes. The one exception: a tagged field with
// its default value is not written again.
func TestValidMessages(t *testing.T) {
	start := seed(t)
	messages, same, defaults := 0, 0, 0
	for i := range rounds(30, 450) {
		at := start + uint64(i)
		g := wiretest.New(at, wiretest.Shape{UnknownTags: true})
		for v := range wiretest.Versions() {
			m := g.Valid(v.Key, v.Version, v.Response)
			messages++
			if err := checkMessage(m); err != nil {
				t.Fatalf("SLUICE_SEED=%d: %v\n%v", at, err, m)
			}
			d := kmsgOf(v.Key, v.Version, v.Response)
			if d == nil {
				continue
			}
			if err := d.ReadFrom(m.Body); err != nil {
				t.Fatalf("SLUICE_SEED=%d: kmsg: %v\n%v", at, err, m)
			}
			again := d.AppendTo(nil)
			if bytes.Equal(again, m.Body) {
				same++
				continue
			}
			second := kmsgOf(v.Key, v.Version, v.Response)
			if err := second.ReadFrom(again); err != nil || !reflect.DeepEqual(d, second) || len(again) >= len(m.Body) {
				t.Fatalf("SLUICE_SEED=%d: kmsg makes something else of it (%v)\n%v\n%x", at, err, m, again)
			}
			if tagged(m) == 0 {
				t.Fatalf("SLUICE_SEED=%d: kmsg leaves out what is no tagged field\n%v\n%x", at, m, again)
			}
			defaults++
		}
	}
	t.Logf("%d messages: %d the same again, %d without a tagged default", messages, same, defaults)
	if same < messages*8/10 {
		t.Error("too few messages come back as they were")
	}
}

func tagged(m *wiretest.Message) (n int) {
	for _, s := range m.Spans {
		if s.Kind == wiretest.SpanTag {
			n++
		}
	}
	return n
}

// checkMessage fails unless check and reader take a valid message whole.
func checkMessage(m *wiretest.Message) error {
	shape, err := check(m.Key, m.Version, m.Response, m.Body)
	if err != nil {
		return err
	}
	if shape.Left > 0 {
		return fmt.Errorf("%d bytes left", shape.Left)
	}
	values, left, err := wiretest.Read(m.Key, m.Version, m.Response, m.Body)
	if err != nil {
		return err
	}
	unknown, longest, elements := 0, 0, 0
	for _, v := range values {
		switch {
		case v.Unknown:
			unknown++
		case v.Field.Type == "string" || v.Field.Type == "[]string":
			longest = max(longest, len(v.Bytes))
		}
		elements += v.Count
	}
	if len(left) > 0 || unknown != shape.UnknownTags || longest != shape.LongestString || elements != shape.Elements {
		return fmt.Errorf("the reader found %d bytes left, %d unknown tags, %d elements and a string of %d, the check %+v", len(left), unknown, elements, longest, shape)
	}
	return nil
}

func check(key, version int16, response bool, body []byte) (wire.Shape, error) {
	if response {
		return wire.CheckResponse(key, version, body, 0)
	}
	return wire.CheckRequest(key, version, body, 0)
}

// A damaged message is refused with a place in it, or it is a message all the
// same: then the reader and kmsg accept what the check accepted. A million in
// the full run.
func TestMutatedMessages(t *testing.T) {
	start := seed(t)
	passed, refused := 0, 0
	var by [wiretest.Mutations][2]int
	for i := range rounds(15, 300) {
		at := start + uint64(i)
		g := wiretest.New(at, wiretest.Shape{UnknownTags: true})
		var last *wiretest.Message
		for v := range wiretest.Versions() {
			m := g.Valid(v.Key, v.Version, v.Response)
			if last == nil {
				last = m
			}
			for range 6 {
				body, how := g.Mutate(m, last)
				ok, err := accepted(v.Key, v.Version, v.Response, body)
				if err != nil {
					t.Fatalf("SLUICE_SEED=%d: %v: %v\n%s v%d response=%v %x", at, how, err, wire.APIName(v.Key), v.Version, v.Response, body)
				}
				if ok {
					passed++
					by[how][0]++
				} else {
					refused++
					by[how][1]++
				}
			}
			if g.Rand.IntN(8) == 0 {
				last = m
			}
		}
	}
	t.Logf("%d passed, %d refused", passed, refused)
	for how, n := range by {
		t.Logf("%-22v %7d passed, %7d refused", wiretest.Mutation(how), n[0], n[1])
		if n[0]+n[1] == 0 || n[1] == 0 && wiretest.Mutation(how) != wiretest.Numbers {
			t.Errorf("%v: %d passed, %d refused", wiretest.Mutation(how), n[0], n[1])
		}
	}
}

func accepted(key, version int16, response bool, body []byte) (bool, error) {
	shape, err := check(key, version, response, body)
	values, left, readErr := wiretest.Read(key, version, response, body)
	if err != nil {
		var refused *wire.CheckError
		if !errors.As(err, &refused) || refused.Offset < 0 || refused.Offset > len(body) {
			return false, err
		}
		return false, nil
	}
	if readErr != nil {
		return false, fmt.Errorf("the check passes what the reader does not: %w", readErr)
	}
	if shape.Left != len(left) || shape.UnknownTags != len(slices.DeleteFunc(values, func(v wiretest.Value) bool { return !v.Unknown })) {
		return false, fmt.Errorf("reader and check disagree: %d left, %+v", len(left), shape)
	}
	if d := kmsgOf(key, version, response); d != nil {
		if err := d.ReadFrom(body); err != nil {
			return false, fmt.Errorf("the check passes what kmsg does not read: %w", err)
		}
	}
	return true, nil
}
