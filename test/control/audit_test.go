package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestTheAuditLogGoesToATopic kills a control plane that sends its log to a topic of Apache Kafka, again and again: the
// topic has every row, the first time each is met in order, and with its heads it verifies as an export does.
func TestTheAuditLogGoesToATopic(t *testing.T) {
	name := topic(t)
	p := Start(t, Setup{Management: fmt.Sprintf("audit: {topic: {name: %s, bootstrap: [%q]}}", name, kafka.Bootstrap()[0])})
	root := p.Root()
	p.Apply(root, `{"kind":"Organisation","metadata":{"name":"acme"},"spec":{}}`)
	for i := range 3 {
		for n := range 20 {
			p.Apply(root, fmt.Sprintf(`{"kind":"Team","metadata":{"name":"team-%d-%d"},"spec":{"organisation":"acme"}}`, i, n))
		}
		p.Kill()
		p.Start()
		root = p.LogIn("root")
	}
	exported := p.verified(t, root) // seals what there is
	var last struct{ Data struct{ Seq int64 } }
	for i := len(exported) - 1; ; i-- { // behind it are heads
		var e struct{ Type string }
		if err := json.Unmarshal([]byte(exported[i]), &e); err != nil {
			t.Fatal(err)
		}
		if e.Type != "sluice.audit-head" {
			if err := json.Unmarshal([]byte(exported[i]), &last); err != nil {
				t.Fatal(err)
			}
			break
		}
	}

	c, err := kgo.NewClient(kgo.SeedBrokers(kafka.Bootstrap()...), kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var file bytes.Buffer
	rows, twice, sealed := int64(0), 0, false
	var heads []json.RawMessage
	for !(rows >= last.Data.Seq && sealed) {
		for _, r := range c.PollFetches(ctx).Records() {
			var e struct {
				Type, SpecVersion string
				Data              struct{ Seq int64 }
			}
			if err := json.Unmarshal(r.Value, &e); err != nil || e.SpecVersion != "1.0" || len(r.Headers) != 1 || string(r.Headers[0].Value) != "application/cloudevents+json; charset=UTF-8" {
				t.Fatalf("%v: %s with %v", err, r.Value, r.Headers)
			}
			switch {
			case e.Type == "sluice.audit-head":
				heads = append(heads, r.Value)
				sealed = sealed || e.Data.Seq >= last.Data.Seq
			case e.Data.Seq <= rows:
				twice++
			case e.Data.Seq != rows+1:
				t.Fatalf("row %d comes behind row %d", e.Data.Seq, rows)
			default:
				rows++
				file.Write(append(r.Value, '\n'))
			}
		}
		if ctx.Err() != nil {
			t.Fatalf("the topic has %d rows of %d, and a head of the last: %v\n%s", rows, last.Data.Seq, sealed, p.Log())
		}
	}
	t.Logf("%d rows, %d of them twice, %d heads", rows, twice, len(heads))
	dir := t.TempDir()
	for name, text := range map[string][]byte{"log": file.Bytes(), "heads": bytes.Join(asBytes(heads), []byte("\n"))} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Rows from the topic, heads kept apart: what is behind the last head that stands among them is told as not covered, and nothing else.
	out, err := exec.CommandContext(t.Context(), product, "audit", "verify", filepath.Join(dir, "log"), "--heads", filepath.Join(dir, "heads"), "--key", filepath.Join(p.Dir, "data", "audit.key.pub")).CombinedOutput()
	if err != nil {
		t.Errorf("what the topic has is not whole: %v\n%s", err, out)
	}
}

func asBytes(all []json.RawMessage) (out [][]byte) {
	for _, b := range all {
		out = append(out, b)
	}
	return out
}
