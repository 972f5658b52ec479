package codesample

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew")

var usual = Values{Bootstrap: "kafka.example.com:19443", TLS: true, Mechanism: "SCRAM-SHA-512", Username: "acme-erp-1", Topic: "orders.v2", Group: "erp", Read: true, Write: true, Record: `{"orderId": "o-1", "note": "it's 5 $"}`}

// text is a sample with marks around what was filled in.
func text(parts []Part) string {
	var b strings.Builder
	for _, p := range parts {
		if p.Value != "" {
			b.WriteString("«" + p.Text + "»")
		} else {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

func TestSamples(t *testing.T) {
	for name, v := range map[string]Values{
		"scram": usual,
		"plain": func() Values { v := usual; v.TLS, v.Mechanism, v.Write = false, "PLAIN", false; return v }(),
		"oauth": func() Values {
			v := usual
			v.Mechanism, v.TokenEndpoint, v.CA = "OAUTHBEARER", "https://sluice.example.com/oauth/token", true
			return v
		}(),
		"certificate": func() Values { v := usual; v.Mechanism, v.CA = "", true; return v }(),
	} {
		t.Run(name, func(t *testing.T) {
			all, err := All(v)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, s := range all {
				for _, p := range []struct {
					action string
					*Program
				}{{"consume", s.Consume}, {"produce", s.Produce}} {
					if p.Program == nil {
						continue
					}
					b.WriteString("=== " + s.ID + " " + p.action + " " + p.File + "\n" + text(p.Text))
					if p.Run != nil {
						b.WriteString("--- run\n" + text(p.Run))
					}
				}
			}
			file := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.String(); got != string(want) {
				t.Errorf("other samples than in %s: look at them, and run with -update\n%s", file, got)
			}
		})
	}
}

func TestEachSampleHoldsWhatWasFilledIn(t *testing.T) {
	all, err := All(usual)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 12 {
		t.Fatalf("%d samples", len(all))
	}
	for _, s := range all {
		for _, p := range []*Program{s.Consume, s.Produce} {
			if p == nil {
				t.Errorf("%s lacks a program", s.ID)
				continue
			}
			found := map[string]bool{}
			for _, part := range append(append([]Part{}, p.Text...), p.Run...) {
				found[part.Value] = true
			}
			for _, name := range []string{"bootstrap", "topic", "username", "secret"} {
				if !found[name] {
					t.Errorf("%s: nothing is marked as %s", s.ID, name)
				}
			}
		}
	}
}

func TestSecretIsFilledIn(t *testing.T) {
	all, err := All(usual)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		got := Fill(s.Consume.Text, "ABC234")
		if !strings.Contains(got, "ABC234") || strings.Contains(got, Secret) {
			t.Errorf("%s: %s", s.ID, got)
		}
	}
}

func TestQuoting(t *testing.T) {
	hard := `a"b\c$d'e` + "`f`"
	for name, c := range map[string]struct{ got, want string }{
		"double":          {double(hard), `"a\"b\\c$d'e` + "`f`\""},
		"kotlin":          {kotlin(hard), `"a\"b\\c\$d'e` + "`f`\""},
		"php":             {php(hard), `'a"b\\c$d\'e` + "`f`'"},
		"shell":           {shell(hard), `'a"b\c$d'\''e` + "`f`'"},
		"a bare word":     {shell("orders.v2"), "orders.v2"},
		"an empty word":   {shell(""), "''"},
		"property":        {property(hard), `a"b\\c$d'e` + "`f`"},
		"marks stay":      {double(filled("topic", `x"y`)), `"` + filled("topic", `x\"y`) + `"`},
		"a marked word":   {shell(filled("topic", "x")), filled("topic", "x")},
		"marked, no word": {shell(filled("topic", "x y")), `'` + filled("topic", "x y") + `'`},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", name, c.got, c.want)
		}
	}
}

func TestValuesThatNoSampleCanHold(t *testing.T) {
	for name, change := range map[string]func(*Values){
		"a line break":   func(v *Values) { v.Group = "a\nb" },
		"a mark":         func(v *Values) { v.Username = "a" + begin },
		"a mechanism":    func(v *Values) { v.Mechanism = "GSSAPI" },
		"no token there": func(v *Values) { v.Mechanism = "OAUTHBEARER" },
		"no UTF-8":       func(v *Values) { v.Topic = "a\xff" },
	} {
		v := usual
		change(&v)
		if _, err := All(v); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
