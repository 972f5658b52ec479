package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func (w *world) demoClient(d *Demo, user int, opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	u := d.Users()[user]
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(d.App().Bootstrap()), kgo.SASL(scram.Auth{User: u.Username, Pass: u.Password}.AsSha256Mechanism())}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// demoFirst reads as both applications, and leaves a mark and an offset.
func (w *world) demoFirst(d *Demo) {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	first := w.demoClient(d, 0, kgo.ConsumeTopics("orders.placed", "vehicles.position"), kgo.ConsumerGroup(d.Group()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	defer first.Close()
	seen := map[string]int{}
	for seen["orders.placed"] < 10 || seen["vehicles.position"] < 10 {
		fetches := first.PollFetches(ctx)
		if ctx.Err() != nil {
			w.t.Fatalf("records: got %v, want 10 of each topic", seen)
		}
		fetches.EachRecord(func(r *kgo.Record) { seen[r.Topic]++ })
	}
	if err := first.CommitUncommittedOffsets(ctx); err != nil {
		w.t.Fatal(err)
	}
	if err := produce(ctx, first, "orders.feedback", "kept"); err != nil {
		w.t.Fatal(err)
	}
	second := w.demoClient(d, 1)
	defer second.Close()
	if got, want := w.topics(second), "vehicles.position"; got != want {
		w.t.Errorf("topics of %s: got %q, want %q", d.Users()[1].Application, got, want)
	}
	if err := produce(ctx, second, "orders.feedback", "x"); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		w.t.Errorf("%s writes: got %v, want TOPIC_AUTHORIZATION_FAILED", d.Users()[1].Application, err)
	}
}

// demoSecond finds them again.
func (w *world) demoSecond(d *Demo) {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	c := w.demoClient(d, 0)
	defer c.Close()
	admin := kadm.NewClient(c)
	offsets, err := admin.FetchOffsets(ctx, d.Group())
	if err != nil {
		w.t.Fatal(err)
	}
	committed := int64(0)
	offsets.Each(func(o kadm.OffsetResponse) { committed += o.At })
	if committed < 20 {
		w.t.Errorf("committed offsets: got %d, want at least 20", committed)
	}
	ends, err := admin.ListEndOffsets(ctx, "orders.feedback")
	if err != nil {
		w.t.Fatal(err)
	}
	if end, _ := ends.Lookup("orders.feedback", 0); end.Offset != 1 {
		w.t.Errorf("records of the first start: got %d, want 1", end.Offset)
	}
}

func TestDemoKeepsEditedResources(t *testing.T) {
	dir := t.TempDir()
	file, memory := filepath.Join(dir, "demo.yaml"), filepath.Join(dir, "demo.written")
	write := func(bootstrap string) (bool, string) {
		t.Helper()
		edited, err := writeDemoResources(file, memory, bootstrap)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return edited, string(text)
	}
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("of unknown origin")
	if edited, text := write("127.0.0.1:1"); edited || !strings.Contains(text, `["127.0.0.1:1"]`) {
		t.Errorf("unknown origin: got edited %v, %s", edited, text)
	}
	if before, err := os.ReadFile(file + ".before"); string(before) != "of unknown origin" {
		t.Errorf("put aside: got %q, %v", before, err)
	}
	edited, text := write("127.0.0.1:2")
	if edited || !strings.Contains(text, `["127.0.0.1:2"]`) {
		t.Errorf("unchanged: got edited %v, %s", edited, text)
	}
	put(text + "# mine\n")
	for _, bootstrap := range []string{"127.0.0.1:2", "127.0.0.1:3"} {
		if edited, text := write(bootstrap); !edited || !strings.HasSuffix(text, "# mine\n") || !strings.Contains(text, `["`+bootstrap+`"]`) {
			t.Errorf("edited, broker at %s: got edited %v, %s", bootstrap, edited, text)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if edited, text := write("127.0.0.1:3"); edited || strings.Contains(text, "# mine") {
		t.Errorf("removed: got edited %v, %s", edited, text)
	}
}
