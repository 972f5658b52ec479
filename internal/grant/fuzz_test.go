package grant

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzSnapshot: a snapshot's file is refused, or makes a snapshot that is
// written and read again the same, and answers look-ups.
func FuzzSnapshot(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"credentials":[null]}`,
		`{"environment":"dev","number":{"generation":1,"n":2},"credentials":[{"name":"a","method":"plain","identity":"a","grant":{"application":"a","prefix":"taaaaaaaaaaaa.","idKey":"00000000000000000000000000000001","topics":[{"exposed":"o","backing":"p","id":"00000000000000000000000000000002","phases":[{"state":"open"}]}]}}]}`,
		`{"credentials":[{"name":"a","grant":null}]}`, `{"credentials":[{"name":"a","grant":{"prefix":"taaaaaaaaaaaa.","topics":[null]}}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := new(Snapshot)
		if json.Unmarshal(data, s) != nil {
			return
		}
		s.Lookup(Plain, "a")
		first, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again := new(Snapshot)
		if err := json.Unmarshal(first, again); err != nil {
			t.Fatalf("%s is not read again: %v", first, err)
		}
		if second, err := json.Marshal(again); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%s becomes %s, %v", first, second, err)
		}
	})
}
