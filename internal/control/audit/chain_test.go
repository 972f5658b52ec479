package audit

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestChainedRows(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.FixedZone("", 3600))
	first, err := Chain(Row{}, Row{Time: at, Actor: "person ada", Action: "apply", Result: "ok", Kind: "API", Name: "orders",
		Details: json.RawMessage(` { "title": [ "<a>", 1.0 ] } `)})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"seq":1,"time":"2026-01-02T02:04:05.678901Z","actor":"person ada","action":"apply","kind":"API","name":"orders","result":"ok",` +
		`"details":{"title":["<a>",1.0]},"previous":"0000000000000000000000000000000000000000000000000000000000000000"}`
	if first.Text() != want {
		t.Errorf("got  %s\nwant %s", first.Text(), want)
	}
	// sha256sum of the text above.
	if first.Hash != hash(want) || len(first.Hash) != 64 {
		t.Errorf("hash %s is not of the text", first.Hash)
	}
	second, err := Chain(first, Row{Time: at, Actor: "a\x00b\xff\u2028", Action: "login", Result: "denied"})
	if err != nil {
		t.Fatal(err)
	}
	if second.Seq != 2 || second.Previous != first.Hash || second.Actor != "a\ufffdb\ufffd\u2028" {
		t.Errorf("got %+v", second)
	}
	for _, r := range []Row{first, second} {
		if again, err := Parse(r.Text(), r.Hash); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("read back: %+v, %v, want %+v", again, err, r)
		}
	}
	for name, details := range map[string]string{"no JSON": `{"a":`, "no object": `[1]`, "two values": `{}{}`} {
		if _, err := Chain(first, Row{Details: json.RawMessage(details)}); err == nil || !strings.Contains(err.Error(), "details") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, text := range []string{"", "{}{}", `{"seq":1,"hash":"x"}`, `{"sequence":1}`} {
		if _, err := Parse(text, ""); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

func TestHeads(t *testing.T) {
	dir := t.TempDir()
	key, err := OpenKey(filepath.Join(dir, "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenKey(filepath.Join(dir, "audit.key"))
	if err != nil || !again.Equal(key) {
		t.Fatalf("the key is another one the second time: %v", err)
	}
	for _, name := range []string{"audit.key", "audit.key.pub"} {
		public, err := ReadPublicKeys(filepath.Join(dir, name))
		if err != nil || len(public) != 1 || !public[0].Equal(key.Public()) {
			t.Errorf("%s: got %v, %v", name, public, err)
		}
	}
	public, _ := ReadPublicKeys(filepath.Join(dir, "audit.key.pub"))
	h := Sign(key, "log", Row{Seq: 7, Hash: "abc"}, time.Now())
	if !h.Signed(public[0]) {
		t.Error("the head is not signed by its key")
	}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var read Head
	if err := json.Unmarshal(text, &read); err != nil || !read.Signed(public[0]) {
		t.Errorf("read back from %s it is not signed: %v", text, err)
	}
	for name, change := range map[string]func(*Head){
		"log":       func(h *Head) { h.Log = "l" },
		"seq":       func(h *Head) { h.Seq = 8 },
		"hash":      func(h *Head) { h.Hash = "abd" },
		"time":      func(h *Head) { h.Time = h.Time.Add(time.Microsecond) },
		"key":       func(h *Head) { h.Key = "x" },
		"signature": func(h *Head) { h.Signature = append([]byte{1}, h.Signature[1:]...); h.Signature[1] ^= 1 },
		"cut":       func(h *Head) { h.Signature = h.Signature[1:] },
	} {
		changed := h
		if change(&changed); changed.Signed(public[0]) {
			t.Errorf("signed with another %s", name)
		}
	}
}
