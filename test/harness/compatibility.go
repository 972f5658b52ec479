package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// The suites whose findings make docs/compatibility.md.
const (
	Libraries = "libraries"
	Programs  = "programs"
)

// Findings is what a run of a suite found of each client on one release of Apache Kafka. The zero value is ready. Note is
// safe for concurrent use.
type Findings struct {
	Kafka   string            `json:"kafka"`
	Clients []*ClientFindings `json:"clients"`

	mu sync.Mutex // guards Clients
}

// ClientFindings is what was found of one client.
type ClientFindings struct {
	Name     string            `json:"name"`
	Version  string            `json:"version,omitempty"`
	Features []*FeatureFinding `json:"features"`
}

// FeatureFinding is what came of one feature, in a word.
type FeatureFinding struct {
	Feature string `json:"feature"`
	Outcome string `json:"outcome"`
}

// Note says what came of a client's feature; a later note replaces an earlier one.
func (f *Findings) Note(client, version, feature, outcome string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.client(client)
	if c == nil {
		c = &ClientFindings{Name: client, Version: version}
		f.Clients = append(f.Clients, c)
	}
	for _, have := range c.Features {
		if have.Feature == feature {
			have.Outcome = outcome
			return
		}
	}
	c.Features = append(c.Features, &FeatureFinding{feature, outcome})
}

func (f *Findings) client(name string) *ClientFindings {
	i := slices.IndexFunc(f.Clients, func(c *ClientFindings) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return f.Clients[i]
}

// outcome returns what was found, or "–".
func (f *Findings) outcome(client, feature string) string {
	if c := f.client(client); c != nil {
		for _, have := range c.Features {
			if have.Feature == feature && have.Outcome != "" {
				return have.Outcome
			}
		}
	}
	return "–"
}

// Publish writes what a whole run of a suite found on a release into docs/compatibility, and docs/compatibility.md anew
// from all that is there. order is that of the clients and of their features. Suites may publish at the same time.
func (f *Findings) Publish(suite, release string, clients, features []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Kafka = release
	rank := func(order []string, name string) int {
		if i := slices.Index(order, name); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(f.Clients, func(a, b *ClientFindings) int { return rank(clients, a.Name) - rank(clients, b.Name) })
	for _, c := range f.Clients {
		slices.SortStableFunc(c.Features, func(a, b *FeatureFinding) int { return rank(features, a.Feature) - rank(features, b.Feature) })
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	folder := filepath.Join(root, "docs", "compatibility")
	text, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return err
	}
	lock, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", folder, err)
	}
	if err := os.WriteFile(filepath.Join(folder, suite+"-"+release+".json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	page, err := compatibilityPage(folder)
	if err != nil {
		return err
	}
	return os.WriteFile(folder+".md", []byte(page), 0o644)
}

// readFindings returns a suite's findings, by release in their order.
func readFindings(folder, suite string) ([]*Findings, error) {
	files, err := filepath.Glob(filepath.Join(folder, suite+"-*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var all []*Findings
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		f := new(Findings)
		if err := json.Unmarshal(text, f); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		return nil, errors.New("no findings of the " + suite + " in " + folder)
	}
	return all, nil
}

func releases(all []*Findings) string {
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = f.Kafka
	}
	return strings.Join(names, ", ")
}

// names lists clients, or the features of one, in the order of the first release that has them.
func names(all []*Findings, client string) []string {
	var out []string
	add := func(s string) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, f := range all {
		for _, c := range f.Clients {
			if client == "" {
				add(c.Name)
				continue
			}
			for _, feature := range c.Features {
				if c.Name == client {
					add(feature.Feature)
				}
			}
		}
	}
	return out
}

func compatibilityPage(folder string) (string, error) {
	libraries, err := readFindings(folder, Libraries)
	if err != nil {
		return "", err
	}
	programs, err := readFindings(folder, Programs)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# Client libraries and programs

<!-- Made by the full runs of test/conformance and test/programs from docs/compatibility/*.json, which they write too. Do not edit. -->

What %s found, with topics, groups and ids renamed by the gateway.

## Libraries

On Apache Kafka %s; where releases differ, the cell says which.

`, "`make conformance`", releases(libraries))
	var features []string
	clients := names(libraries, "")
	for _, c := range clients { // the first client that has all gives the order
		for _, f := range names(libraries, c) {
			if !slices.Contains(features, f) {
				features = append(features, f)
			}
		}
	}
	fmt.Fprintf(&b, "| | %s |\n|---|%s\n", strings.Join(features, " | "), strings.Repeat("---|", len(features)))
	for _, client := range clients {
		version := ""
		for _, f := range libraries {
			if c := f.client(client); c != nil {
				version = c.Version
			}
		}
		fmt.Fprintf(&b, "| **%s** %s |", client, version)
		for _, feature := range features {
			fmt.Fprintf(&b, " %s |", cell(libraries, client, feature))
		}
		b.WriteString("\n")
	}
	b.WriteString(librariesLegend)
	fmt.Fprintf(&b, "\n## Programs\n\n| | | %s |\n|---|---|%s\n", strings.ReplaceAll(releases(programs), ", ", " | "), strings.Repeat("---|", len(programs)))
	for _, program := range names(programs, "") {
		label := "**" + program + "**"
		for _, feature := range names(programs, program) {
			fmt.Fprintf(&b, "| %s | %s |", label, feature)
			for _, f := range programs {
				fmt.Fprintf(&b, " %s |", f.outcome(program, feature))
			}
			b.WriteString("\n")
			label = ""
		}
	}
	b.WriteString(programsLegend)
	return b.String(), nil
}

// cell is one outcome where all releases agree, otherwise each with its releases.
func cell(all []*Findings, client, feature string) string {
	var outcomes []string
	of := map[string][]string{}
	for _, f := range all {
		o := f.outcome(client, feature)
		if of[o] == nil {
			outcomes = append(outcomes, o)
		}
		of[o] = append(of[o], f.Kafka)
	}
	if len(outcomes) == 1 {
		return outcomes[0]
	}
	for i, o := range outcomes {
		outcomes[i] = o + " on " + strings.Join(of[o], ", ")
	}
	return strings.Join(outcomes, "; ")
}

const librariesLegend = `
"–": the library, or the program we drive it with, does not have it. Behaviour tests run with a metadata age of 3 s.

- *One topic withheld*: a topic is suspended while it and another one are consumed on one connection: the other one flows on without a gap, no more requests than before, and the topic is back, without a record lost, within seconds of healing.
- *One topic ended*: the same with a closed subscription, over several metadata refreshes. *Regex*: for a subscription by a regular expression the topic goes, and comes back, with a rebalance.
- *All topics withheld*: at most 3 fetches a second.
- *Login refused for a while*: the credential is revoked, and its logins refused, for ten seconds. "stops": the library takes a refused login as final and must be started anew. "ends": so does the program we drive it with; an application may catch the exception and go on.
- *Writes suspended for a while*: writes to one topic are answered POLICY_VIOLATION (44), those to another go on, and the topic works again after healing. "new producer": an idempotent producer of this library does not get over a refused batch; make a new one.
- *Share groups* (KIP-932, on Kafka 4.1 as a preview): records are shared out and accepted, and not seen again; other applications' groups of the same name are others. *Withheld*: a topic is suspended, then ended, while a member reads it, and another one that flows on where the program reads two; it is back within seconds of healing, without a record lost.
`

const programsLegend = `
Programs are of the release of Kafka they run against. "–": the release, or the gateway so far, does not have it. Each is killed (SIGKILL) in the middle of
its work and started again. The settings they need are in [programs.md](programs.md).
`
