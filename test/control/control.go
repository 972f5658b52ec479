// Package control runs the product that is sold as a control plane, on SQLite and on a real PostgreSQL, with real Apache
// Kafka behind its gateway: what people and programs do through its management API, and what is left when it is killed. Its
// main type is Plane, one process.
package control

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
	"sluice/test/harness"
)

// password is everybody's.
const password = "correct horse, battery staple"

// Plane is "sluice serve" as control plane and gateway.
type Plane struct {
	*harness.Process
	tb testing.TB
}

// Setup says what a Plane runs on.
type Setup struct {
	// Binary is the product; the one that the tests of this package have made by default.
	Binary string
	// Postgres is the address of a database; empty for SQLite.
	Postgres string
	// Seed is the file of that name of another Plane; empty for one of its own.
	Seed string
	// Management are more settings of management, as lines of YAML without indentation.
	Management string
	// Settings are more of sluice.yaml.
	Settings string
	Files    map[string]string
}

// Start starts a Plane. It ends with the test.
func Start(tb testing.TB, s Setup) *Plane {
	tb.Helper()
	serve := harness.Serve{Binary: cmp.Or(s.Binary, product), Environment: "prod", Files: s.Files, Data: map[string]string{}, Settings: s.settings()}
	if s.Postgres != "" {
		serve.Files = map[string]string{"postgres": s.Postgres}
		for name, text := range s.Files {
			serve.Files[name] = text
		}
	}
	if s.Seed != "" {
		serve.Data["seed"] = s.Seed
	}
	return &Plane{Process: harness.StartProcess(tb, serve), tb: tb}
}

func (s Setup) settings() string {
	lines := []string{`address: "127.0.0.1:0"`}
	if s.Postgres != "" {
		lines = append(lines, "postgres: {file: postgres}")
	}
	if s.Management != "" {
		lines = append(lines, strings.Split(strings.TrimSpace(s.Management), "\n")...)
	}
	return "management:\n  " + strings.Join(lines, "\n  ") + "\n" + s.Settings
}

var (
	address = regexp.MustCompile(`msg="the management API is there" address=(\S+)`)
	first   = regexp.MustCompile(`--first-admin (\S+?)"`)
)

// said waits until the log has something, and returns it the last time it was said.
func (p *Plane) said(what *regexp.Regexp) string {
	p.tb.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if all := what.FindAllStringSubmatch(p.Log(), -1); len(all) > 0 {
			return all[len(all)-1][1]
		}
		if time.Now().After(deadline) {
			p.tb.Fatalf("the log does not say %s", what)
		}
	}
}

// Server is where the management API is since the last start.
func (p *Plane) Server() string {
	p.tb.Helper()
	starts := strings.Count(p.Log(), "sluice serves")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if all := address.FindAllStringSubmatch(p.Log(), -1); len(all) > 0 && len(all) >= starts {
			return all[len(all)-1][1]
		}
		if time.Now().After(deadline) {
			p.tb.Fatal("the log does not say where the management API is")
		}
	}
}

// As is a client of whoever has a token; "" for nobody.
func (p *Plane) As(token string) *client.Client {
	p.tb.Helper()
	c, err := client.New(client.Config{Server: p.Server(), Token: token})
	if err != nil {
		p.tb.Fatal(err)
	}
	return c
}

// Root makes the first platform-admin and logs them in.
func (p *Plane) Root() *client.Client {
	p.tb.Helper()
	if err := p.As("").Claim(p.tb.Context(), schema.Claim{Token: p.said(first), Login: "root", Password: password}); err != nil {
		p.tb.Fatal(err)
	}
	return p.LogIn("root")
}

// LogIn logs somebody in by their password.
func (p *Plane) LogIn(login string) *client.Client {
	p.tb.Helper()
	l, err := p.As("").LogIn(p.tb.Context(), schema.Credentials{Login: login, Password: password})
	if err != nil {
		p.tb.Fatal(err)
	}
	return p.As(l.Token)
}

// Invite makes an account, and logs its person in.
func (p *Plane) Invite(root *client.Client, login string) *client.Client {
	p.tb.Helper()
	i, err := root.Invite(p.tb.Context(), schema.Person{Login: login})
	if err != nil {
		p.tb.Fatal(err)
	}
	if err := p.As("").SetPassword(p.tb.Context(), schema.NewPassword{Token: i.Token, Password: password}); err != nil {
		p.tb.Fatal(err)
	}
	return p.LogIn(login)
}

// Seed is the installation's, for Setup of another Plane.
func (p *Plane) Seed() string {
	p.tb.Helper()
	b, err := os.ReadFile(filepath.Join(p.Dir, "data", "seed"))
	if err != nil {
		p.tb.Fatal(err)
	}
	return string(b)
}

// Documents makes the body of an apply of documents of sluice/v1 in JSON, without apiVersion.
func Documents(documents ...string) schema.Apply {
	var body schema.Apply
	for _, d := range documents {
		body.Documents = append(body.Documents, json.RawMessage(`{"apiVersion":"sluice/v1",`+strings.TrimPrefix(d, "{")))
	}
	return body
}

// Apply applies documents.
func (p *Plane) Apply(c *client.Client, documents ...string) *schema.Report {
	p.tb.Helper()
	report, err := c.Apply(p.tb.Context(), Documents(documents...), false)
	if err != nil {
		p.tb.Fatal(err)
	}
	return report
}

// product is the binary; TestMain makes it.
var product string
