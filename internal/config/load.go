package config

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"sluice/internal/strictyaml"
)

// Load reads and checks a configuration file. It returns every problem; a
// configuration with a problem that Bad reports is not to be used.
func Load(path string) (Config, []Problem) {
	fail := func(err error) (Config, []Problem) {
		return Default(), []Problem{{File: path, Message: err.Error(), Fix: "check the path and its permissions"}}
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, strictyaml.MaxFileBytes+1))
	if err != nil {
		return fail(err)
	}
	return Parse(path, data)
}

// Parse is Load for a file that is already in memory.
func Parse(path string, data []byte) (Config, []Problem) {
	c := Default()
	docs, problems := strictyaml.Parse(data)
	if len(docs) > 1 {
		problems = append(problems, Problem{Line: docs[1].Line, Column: 1, Message: "a configuration is one document", Fix: "remove the line ---"})
	}
	if len(docs) > 0 {
		c.Listeners = nil // a file's listeners replace the default one
		problems = append(problems, docs[0].Decode(&c)...)
		strictyaml.Anchor(&c, filepath.Dir(path))
		c.relative(filepath.Dir(path))
		c.complete()
		for _, p := range c.Validate() {
			at := docs[0].Position(p.Path)
			p.Line, p.Column = at.Line, at.Column
			if !reported(problems, p) {
				problems = append(problems, p)
			}
		}
	}
	for i := range problems {
		problems[i].File = path
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	return c, problems
}

// reported says whether a field could not be read, so that what is said about
// its value would only confuse.
func reported(problems []Problem, p Problem) bool {
	for _, other := range problems {
		if other.Path == p.Path && other.Line == p.Line {
			return true
		}
	}
	return false
}

// Bad reports whether a problem is more than a warning.
func Bad(problems []Problem) bool {
	for _, p := range problems {
		if !p.Warning {
			return true
		}
	}
	return false
}

// relative makes paths relative to the working directory.
func (c *Config) relative(dir string) {
	anchor := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	anchor(&c.DataDir)
	anchor(&c.Portal.Logo)
	for i := range c.Resources {
		anchor(&c.Resources[i])
	}
	for i := range c.OAuth.Issuers {
		anchor(&c.OAuth.Issuers[i].JWKS.File)
	}
}

// CheckFiles reads every secret that the configuration refers to, and returns
// what cannot be read. Validate does not, so that a configuration can be checked
// where its secrets are not.
func (c *Config) CheckFiles() []Problem {
	var problems []Problem
	check := func(path string, ref SecretRef) {
		if ref.IsZero() {
			return
		}
		if _, err := ReadSecret(ref); err != nil {
			problems = append(problems, Problem{Path: path, Message: err.Error(), Fix: "set it, or correct the reference"})
		}
	}
	for i, l := range c.Listeners {
		if l.TLS != nil {
			path := fmt.Sprintf("listeners[%d].tls.", i)
			check(path+"certificate", l.TLS.Certificate)
			check(path+"key", l.TLS.Key)
			check(path+"clientCA", l.TLS.ClientCA)
		}
	}
	for i, is := range c.OAuth.Issuers {
		if is.JWKS.File != "" {
			check(fmt.Sprintf("oauth.issuers[%d].jwks.file", i), SecretRef{File: is.JWKS.File})
		}
	}
	if _, _, err := c.Portal.ReadLogo(); err != nil {
		problems = append(problems, Problem{Path: "portal.logo", Message: err.Error(), Fix: "correct the path, or make the file smaller"})
	}
	m := c.Management
	check("management.postgres", m.Postgres)
	for i, o := range m.OpenID {
		check(fmt.Sprintf("management.openid[%d].clientSecret", i), o.ClientSecret)
	}
	if s := m.Mail; s != nil {
		check("management.mail.password", s.Password)
		check("management.mail.ca", s.CA)
	}
	if t := m.Audit.Topic; t != nil {
		if t.TLS != nil {
			check("management.audit.topic.tls.ca", t.TLS.CA)
		}
		if t.SASL != nil {
			check("management.audit.topic.sasl.password", t.SASL.Password)
		}
	}
	return problems
}
