package browser

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/test/control"
)

// portal is a portal with what pages show: two teams, products, an application with subscriptions, credentials, and a
// request that was refused.
func portal(t *testing.T) *control.Plane {
	t.Helper()
	p := control.Start(t, control.Setup{Binary: product, Settings: "portal: {signUp: open}"})
	root := p.Root()
	direct, err := kgo.NewClient(kgo.SeedBrokers(kafka.Bootstrap()...))
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := kadm.NewClient(direct).CreateTopics(ctx, 2, 1, nil, "shop.orders", "shop.returns"); err != nil {
		t.Fatal(err)
	}
	p.Invite(root, "dora")
	p.Invite(root, "paul")
	p.Apply(root,
		`{"kind":"Organisation","metadata":{"name":"acme"},"spec":{"title":"Acme"}}`,
		`{"kind":"Team","metadata":{"name":"shop"},"spec":{"organisation":"acme","members":{"paul":["publisher","approver"]}}}`,
		`{"kind":"Team","metadata":{"name":"erp"},"spec":{"organisation":"acme","members":{"dora":["app-developer"]}}}`,
		`{"kind":"Environment","metadata":{"name":"prod"},"spec":{}}`,
		fmt.Sprintf(`{"kind":"Cluster","metadata":{"name":"main","environment":"prod","team":"shop"},"spec":{"bootstrap":[%q],"publish":{"shop":["*"]}}}`, kafka.Bootstrap()[0]),
	)
	p.Apply(p.LogIn("paul"),
		`{"kind":"API","metadata":{"name":"orders","team":"shop"},"spec":{"title":"Orders","visibility":"public","description":"Every order from placed to delivered."}}`,
		`{"kind":"Version","metadata":{"name":"orders.v1"},"spec":{"contract":{"channels":{"orders.placed":{"send":true}}},"channels":{"orders.placed":{"prod":{"cluster":"main","topic":"shop.orders"}}},"lifecycle":{"state":"published"}}}`,
		`{"kind":"Product","metadata":{"name":"orders","team":"shop"},"spec":{"title":"Orders","versions":["orders.v1"],"plans":{"partner":{"auth":["scram"],"approval":"automatic"},"gold":{"auth":["scram"],"approval":"manual"}}}}`,
	)
	dora := p.LogIn("dora")
	p.Apply(dora,
		`{"kind":"Application","metadata":{"name":"acme-erp","team":"erp"},"spec":{"description":"Orders into the books."}}`,
		`{"kind":"Subscription","metadata":{"name":"acme-erp-orders","environment":"prod"},"spec":{"application":"acme-erp","product":"orders","plan":"partner"}}`,
	)
	report := p.Apply(dora, `{"kind":"Credential","metadata":{"name":"acme-erp-1","environment":"prod"},"spec":{"application":"acme-erp","type":"scram"}}`)
	refused(t, p, report.Outcomes[0].Secret)
	return p
}

// refused asks for something that acme-erp may not, as a client of its own.
func refused(t *testing.T, p *control.Plane, secret string) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(p.Bootstrap), kgo.SASL(scram.Auth{User: "acme-erp-1", Pass: secret}.AsSha512Mechanism()), kgo.ClientID("erp-worker-3"), kgo.DisableIdempotentWrite(), kgo.ManualFlushing())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil { // until the credential is in force
		if err = c.Ping(ctx); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("log in: %v", err)
	}
	if _, err := kadm.NewClient(c).DeleteTopics(ctx, "orders.placed"); err != nil {
		t.Fatal(err)
	}
}

// chromium is the system's.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no Chromium: run tools/deps.sh test, or install it (Debian: chromium)")
	return ""
}

// TestInABrowser runs *.spec.ts. SLUICE_SPECS narrows them, as account or pages:12; SLUICE_SHOTS is a folder for pictures of every page.
func TestInABrowser(t *testing.T) {
	runner, err := filepath.Abs("node_modules/@playwright/test/cli.js")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(runner); err != nil {
		t.Fatalf("Playwright is not there: run tools/deps.sh test (%v)", err)
	}
	browser := chromium(t)
	p := portal(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	args := append([]string{runner, "test", "--config", "playwright.config.ts"}, strings.Fields(os.Getenv("SLUICE_SPECS"))...)
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Env = append(os.Environ(), "SLUICE_URL="+p.Server(), "SLUICE_CHROMIUM="+browser, "SLUICE_RESULTS="+t.TempDir(), "FORCE_COLOR=0")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends its browsers
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("in the browser: %v", err)
	}
}

const maxEntry = 150_000

// TestEntry holds what a browser loads before it shows the portal to its size.
func TestEntry(t *testing.T) {
	p := control.Start(t, control.Setup{Binary: product})
	get := func(path string) []byte {
		t.Helper()
		r, err := http.Get(p.Server() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("GET %s: %d, %v: is the web application built? make web", path, r.StatusCode, err)
		}
		return body
	}
	size := func(body []byte) int {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		z.Write(body)
		z.Close()
		return out.Len()
	}
	scripts, total := 0, 0
	for _, m := range regexp.MustCompile(`(?:src|modulepreload" crossorigin href)="(/assets/[^"]+\.js)"`).FindAllSubmatch(get("/"), -1) {
		n := size(get(string(m[1])))
		t.Logf("%s: %d bytes", m[1], n)
		scripts, total = scripts+1, total+n
	}
	if scripts == 0 || total > maxEntry {
		t.Errorf("the entry of the portal is %d scripts of %d bytes, gzipped; want some, of %d at most", scripts, total, maxEntry)
	}
	t.Logf("the entry of the portal: %d bytes, gzipped", total)
}
