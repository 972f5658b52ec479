package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/httpapi/schema"
)

// TestKilledWhileChanging kills a control plane, again and again, while two hundred changes are asked for: there are as
// many audit rows as changes, every one that was confirmed is there, and the log is whole.
func TestKilledWhileChanging(t *testing.T) {
	onBoth(t, func(t *testing.T, s Setup) {
		const changes, kills = 200, 4
		p := Start(t, s)
		root := p.Root()
		p.Apply(root, `{"kind":"Organisation","metadata":{"name":"acme"},"spec":{}}`)
		token, err := root.NewToken(t.Context(), schema.NewToken{Name: "ci", Platform: true})
		if err != nil {
			t.Fatal(err)
		}
		confirmed := map[string]bool{}
		for next, life := 0, 0; next < changes; life++ {
			c := p.As(token.Token)
			var dies sync.WaitGroup
			if life < kills {
				after := time.Duration(50+rand.IntN(250)) * time.Millisecond
				dies.Go(func() { time.Sleep(after); p.Kill() }) // at any moment
			}
			for ; next < changes; next++ {
				name := fmt.Sprintf("team-%d", next)
				if _, err := c.Apply(t.Context(), Documents(`{"kind":"Team","metadata":{"name":"`+name+`"},"spec":{"organisation":"acme"}}`), false); err != nil {
					next++ // it may have happened, or not
					break
				}
				confirmed[name] = true
			}
			dies.Wait()
			if life < kills {
				p.Start()
			}
		}
		root = p.LogIn("root")
		there := map[string]bool{}
		if err := root.List(t.Context(), "teams", nil, func(d schema.Document) error {
			var m struct{ Name string }
			if err := json.Unmarshal(d.Metadata, &m); err != nil {
				return err
			}
			there[m.Name] = true
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		rows := map[string]int{}
		for _, line := range p.verified(t, root) {
			var e struct {
				Data struct{ Kind, Name, Action string }
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			if e.Data.Kind == "Team" {
				rows[e.Data.Name]++
			}
		}
		for name := range confirmed {
			if !there[name] {
				t.Errorf("%s was confirmed, and is not there", name)
			}
		}
		for name := range there {
			if rows[name] != 1 {
				t.Errorf("%s has %d audit rows", name, rows[name])
			}
		}
		if len(rows) != len(there) || len(there) < changes/2 {
			t.Errorf("%d changes and %d audit rows", len(there), len(rows))
		}
		t.Logf("%d changes, %d confirmed, %d audit rows", len(there), len(confirmed), len(rows))
	})
}

// TestSecretsAreNowhere takes several secrets of each kind through what they are for, and looks for them in everything that
// is written, exported or logged, at the most talkative.
func TestSecretsAreNowhere(t *testing.T) {
	canaries := map[string]string{}
	canary := func(what string) string {
		text := fmt.Sprintf("canary-%s-%d-staple-horse", strings.ReplaceAll(what, " ", "-"), len(canaries))
		canaries[what+fmt.Sprint(len(canaries))] = text
		return text
	}
	p := Start(t, Setup{Settings: "log: {level: debug}", Files: map[string]string{"kafka": canary("cluster password")}})
	root := p.Root()
	canaries["password of root"] = password
	made := func(what, secret string) {
		t.Helper()
		if len(secret) < 16 {
			t.Errorf("%s is %q", what, secret)
		}
		canaries[what] = secret
	}
	p.Apply(root, `{"kind":"Organisation","metadata":{"name":"acme"},"spec":{}}`,
		`{"kind":"Team","metadata":{"name":"shop"},"spec":{"organisation":"acme","members":{"root":["publisher","approver","app-developer"]}}}`,
		`{"kind":"Cluster","metadata":{"name":"main","environment":"prod"},"spec":{"bootstrap":["127.0.0.1:1"],"sasl":{"mechanism":"SCRAM-SHA-512","username":"u","password":{"file":"kafka"}}}}`)
	p.Apply(root, `{"kind":"Application","metadata":{"name":"reader","team":"shop"},"spec":{}}`)
	for i, kind := range []string{"scram", "plain", "scram"} {
		name := fmt.Sprintf("given-%d", i)
		body := Documents(`{"kind":"Credential","metadata":{"name":"`+name+`","environment":"prod"},"spec":{"application":"reader","type":"`+kind+`"}}`,
			`{"kind":"Credential","metadata":{"name":"made-`+name+`","environment":"prod"},"spec":{"application":"reader","type":"`+kind+`"}}`)
		body.Secrets = map[string]string{name: canary("secret of a credential")}
		for _, dry := range []bool{true, false} {
			report, err := root.Apply(t.Context(), body, dry)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range report.Outcomes {
				if o.Secret != "" && (dry || o.Name == name) {
					t.Errorf("the secret of %s is in the answer", o.Name)
				} else if o.Secret != "" {
					made("made secret of "+o.Name, o.Secret)
				}
			}
		}
	}
	for i := range 3 {
		login, first, second := fmt.Sprint("person", i), canary("password"), canary("password")
		invitation, err := root.Invite(t.Context(), schema.Person{Login: login})
		if err == nil {
			made("invitation of "+login, invitation.Token)
			err = p.As("").SetPassword(t.Context(), schema.NewPassword{Token: invitation.Token, Password: first})
		}
		var l *schema.Login
		if err == nil {
			l, err = p.As("").LogIn(t.Context(), schema.Credentials{Login: login, Password: first})
		}
		if err != nil {
			t.Fatal(err)
		}
		made("login of "+login, l.Token)
		c := p.As(l.Token)
		if err := c.ChangePassword(t.Context(), schema.ChangedPassword{Old: first, Password: second}); err != nil {
			t.Fatal(err)
		}
		factor, err := c.SetUpSecondFactor(t.Context(), schema.Proof{Password: second})
		if err != nil {
			t.Fatal(err)
		}
		made("second factor of "+login, factor.Key)
		if _, err := p.As("").LogIn(t.Context(), schema.Credentials{Login: login, Password: canary("wrong password")}); err == nil {
			t.Error("a wrong password is right")
		}
		if _, err := p.As("").LogIn(t.Context(), schema.Credentials{Login: canary("password typed as a name"), Password: "x"}); err == nil {
			t.Error("nobody is somebody")
		}
		token, err := root.NewToken(t.Context(), schema.NewToken{Name: login, Platform: true})
		if err != nil {
			t.Fatal(err)
		}
		made("API token "+login, token.Token)
		if _, err := p.As(token.Token).Me(t.Context()); err != nil {
			t.Error(err)
		}
	}
	reset, err := root.ResetPassword(t.Context(), "person0")
	if err != nil {
		t.Fatal(err)
	}
	made("reset", reset.Token)

	// Everything that anybody can get, besides what was shown once.
	var seen bytes.Buffer
	for _, plural := range []string{"clusters", "credentials", "applications", "organisations", "teams"} {
		if err := root.List(t.Context(), plural, nil, func(d schema.Document) error { return json.NewEncoder(&seen).Encode(d) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := root.People(t.Context(), func(a schema.Account) error { return json.NewEncoder(&seen).Encode(a) }); err != nil {
		t.Fatal(err)
	}
	tokens, err := root.Tokens(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	logins, err := root.Logins(t.Context(), "person1")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(&seen).Encode([]any{tokens, logins}); err != nil {
		t.Fatal(err)
	}
	var audit, backup bytes.Buffer
	if err := root.ExportAudit(t.Context(), 1, &audit); err != nil {
		t.Fatal(err)
	}
	if err := root.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	searched := map[string]string{"answers": seen.String(), "the audit log": audit.String(), "a backup": backup.String(), "the log": withoutFirst(p.Log())}
	err = filepath.WalkDir(filepath.Join(p.Dir, "data"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		searched[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(canaries) < 30 || len(searched) < 8 {
		t.Errorf("%d secrets are looked for in %d places", len(canaries), len(searched))
	}
	for place, text := range searched {
		if text == "" && place == "answers" {
			t.Errorf("%s are empty", place)
		}
		for what, secret := range canaries {
			if strings.Contains(text, secret) {
				t.Errorf("%s is in %s", what, place)
			}
		}
	}
}

// withoutFirst is a log without the line that tells whoever starts the product how to begin.
func withoutFirst(log string) string {
	var out []string
	for _, line := range strings.Split(log, "\n") {
		if !strings.Contains(line, "--first-admin") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}
