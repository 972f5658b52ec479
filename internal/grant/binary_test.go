package grant

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNoFieldIsForgottenInTheBinaryEncoding(t *testing.T) {
	c := credentialOf("a", nil)
	eachFieldVaried(t, c, func(path string) {
		e := &encoder{texts: map[string]uint64{}}
		e.grant(c.Grant)
		e.credential(c, 0)
		if e.err != nil {
			t.Fatalf("%s: %v", path, e.err)
		}
		if t0 := c.Grant.Topics[0]; int(max(t0.Read.Access, t0.Write.Access)) == len(accessNames) {
			return // one more than there is
		}
		d := &decoder{in: e.out}
		back := d.credential([]*Grant{d.grant()})
		if d.err != nil || len(d.in) > 0 || !same(c, back) {
			t.Errorf("%s is lost: %v, %d bytes left", path, d.err, len(d.in))
		}
	})
}

func TestBinarySnapshot(t *testing.T) {
	all := many(300, 3)
	all[1].Grant = all[0].Grant
	all[2].NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	s, err := New("prod", Number{3, 7}, all)
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	back := new(Snapshot)
	if err := back.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	if d := s.Diff(back); back.Number() != s.Number() || back.Environment() != "prod" || back.Len() != s.Len() || len(d.Put)+len(d.Remove) > 0 {
		t.Errorf("comes back as %v of %q with %d credentials, %d of them changed, %d gone", back.Number(), back.Environment(), back.Len(), len(d.Put), len(d.Remove))
	}
	if a, b := back.Lookup(all[0].Method, all[0].Identity), back.Lookup(all[1].Method, all[1].Identity); a.Grant != b.Grant {
		t.Error("a grant that two credentials share comes back as two")
	}
	before, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := json.Marshal(back); err != nil || !bytes.Equal(before, after) {
		t.Error("it is written otherwise after it was read")
	}
	if len(data)*3 > len(before) {
		t.Errorf("%d bytes, as JSON %d", len(data), len(before))
	}
	for n := 0; n < len(data); n += 1 + n/50 {
		if err := new(Snapshot).UnmarshalBinary(data[:n]); err == nil {
			t.Fatalf("the first %d bytes of %d are taken for the whole", n, len(data))
		}
	}
	if err := new(Snapshot).UnmarshalBinary(append(data, 0)); err == nil {
		t.Error("a byte too many is not noticed")
	}
	all[3].Grant.Namespace.Topics = -1
	if _, err := s.MarshalBinary(); err == nil {
		t.Error("a count below zero is written")
	}
}

// FuzzBinarySnapshot: bytes are refused, or make a snapshot that is written and
// read again the same. They take no more memory than a multiple of their length.
func FuzzBinarySnapshot(f *testing.F) {
	s, err := New("prod", Number{1, 2}, append(many(2, 2), credentialOf("a", nil)))
	if err != nil {
		f.Fatal(err)
	}
	data, err := s.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{})
	f.Add([]byte{binaryFormat, 1, 1, 0, 0, 0, 0})
	f.Add(append([]byte{binaryFormat, 1, 1, 0, 0}, bytes.Repeat([]byte{0xff}, 9)...))
	f.Add([]byte(strings.Repeat(string([]byte{binaryFormat}), 100)))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := new(Snapshot)
		if s.UnmarshalBinary(data) != nil {
			return
		}
		first, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		again := new(Snapshot)
		if err := again.UnmarshalBinary(first); err != nil {
			t.Fatalf("%x is not read again: %v", first, err)
		}
		if d := s.Diff(again); len(d.Put)+len(d.Remove) > 0 || again.Len() != s.Len() {
			t.Fatalf("%x becomes another one: %+v", first, d)
		}
	})
}

// Deltas are written in binary as snapshots are, and a credential's sum tells all that
// it says from anything else.
func TestBinaryDelta(t *testing.T) {
	all := many(20, 3)
	d := Delta{From: Number{3, 7}, To: Number{3, 8}, Put: all, Remove: []Key{{Scram, "gone"}, {MTLS, "dns:gone.example.com"}}}
	data, err := d.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var back Delta
	if err := back.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	if back.From != d.From || back.To != d.To || !slices.Equal(back.Remove, d.Remove) || !slices.EqualFunc(back.Put, d.Put, same) {
		t.Errorf("comes back as %+v", back)
	}
	for n := 0; n < len(data); n += 1 + n/50 {
		if err := new(Delta).UnmarshalBinary(data[:n]); err == nil {
			t.Fatalf("the first %d bytes of %d are taken for the whole", n, len(data))
		}
	}
}

func TestSumTellsCredentialsApart(t *testing.T) {
	c := credentialOf("a", nil)
	seen := map[[32]byte]string{}
	first, err := c.Sum()
	if err != nil {
		t.Fatal(err)
	}
	seen[first] = "itself"
	eachFieldVaried(t, c, func(path string) {
		s, err := c.Sum()
		if err != nil {
			return // a count that cannot be written
		}
		if other, known := seen[s]; known {
			t.Errorf("%s has the sum of %s", path, other)
		}
		seen[s] = path
	})
	if again, err := credentialOf("a", nil).Sum(); err != nil || again != first {
		t.Error("another one that says the same has another sum")
	}
}

// FuzzBinaryDelta: bytes are refused, or make a delta that is written and read again the
// same.
func FuzzBinaryDelta(f *testing.F) {
	data, err := Delta{From: Number{1, 1}, To: Number{1, 2}, Put: many(2, 2), Remove: []Key{{Plain, "a"}}}.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{binaryFormat, 1, 1, 1, 2, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var d, again Delta
		if d.UnmarshalBinary(data) != nil {
			return
		}
		first, err := d.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalBinary(first); err != nil || !slices.EqualFunc(d.Put, again.Put, same) || !slices.Equal(d.Remove, again.Remove) {
			t.Fatalf("%x becomes another one: %v", first, err)
		}
	})
}
