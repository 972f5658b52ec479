package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/breaking"
	"sluice/internal/control/contract/lint"
	"sluice/internal/control/contract/rule"
)

const maxContractLen = 8 << 20

// rootFlag adds --root.
func rootFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "root", "", "directory below which other files are read (default the document's own)")
}

// outputFlag adds -o text or json.
func outputFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "output", "o", formatText, "text or json")
}

func checkOutput(format string) error {
	if format != formatText && format != formatJSON {
		return usagef("-o %q is not a format: write text or json", format)
	}
	return nil
}

// failOn reads the flag --fail-on.
func failOn(word string) (rule.Severity, error) {
	severity, ok := rule.ParseSeverity(word)
	if !ok || severity == rule.Off {
		return 0, usagef("--fail-on %q is not a severity: write error, warning or info", word)
	}
	return severity, nil
}

// readContract loads an AsyncAPI document; "-" is the standard input. What it refers
// to is read from a directory, that of the document when it is empty, and below, and
// from nowhere else.
func readContract(s Streams, name, dir string) (*contract.Document, error) {
	text, err := readBounded(s, name)
	if err != nil {
		return nil, err
	}
	if dir == "" {
		dir = filepath.Dir(name)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	resolve := func(location string) ([]byte, error) {
		if strings.Contains(location, "://") || strings.HasPrefix(location, "schema-registry:") {
			return nil, contract.ErrRefused
		}
		inside, err := filepath.Rel(dir, filepath.FromSlash(location))
		if err != nil || !filepath.IsLocal(inside) {
			return nil, contract.ErrRefused
		}
		f, err := root.Open(inside)
		if err != nil {
			return nil, reasonOf(err)
		}
		defer f.Close()
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			return nil, errors.New("is not a file")
		}
		return io.ReadAll(io.LimitReader(f, maxContractLen))
	}
	if name == "-" {
		resolve = nil
	}
	return contract.Load(filepath.ToSlash(name), text, contract.Options{Resolve: resolve}), nil
}

func reasonOf(err error) error {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

func readBounded(s Streams, name string) ([]byte, error) {
	from := s.In
	if name != "-" {
		if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for a writer
			return nil, fmt.Errorf("%s is not a file", name)
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, reasonOf(err))
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxContractLen))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, reasonOf(err))
	}
	return text, nil
}

func newLint(s Streams) *cobra.Command {
	var output, ruleset, fail, root string
	var packs []string
	cmd := &cobra.Command{
		Use:   "lint FILE",
		Short: "Check an AsyncAPI document",
		Long: `Check an AsyncAPI document of 2.0 to 2.6, 3.0 or 3.1: its shape, and what the
shape cannot say, as references, messages of operations, names of topics and
examples against their schemas. Packs of rules say what is allowed and still
not wanted: ` + strings.Join(lint.Packs(), ", ") + `;
none is used unless it is named. A ruleset of your own has the shape of Spectral's.

The exit code is 0 when there is no finding of the severity of --fail-on, 3 when
there is one, 1 when the document could not be looked at. Other files are read
from the document's directory and below only, or --root. Rules are in docs/contracts.md.`,
		Example: `  sluice lint orders.asyncapi.yaml
  sluice lint orders.asyncapi.yaml --pack all --fail-on warning
  sluice lint orders.asyncapi.yaml --ruleset rules.yaml -o json`,
		Args: exactly(1, "the file"),
		RunE: func(_ *cobra.Command, args []string) error {
			severity, err := failOn(fail)
			if err != nil {
				return err
			}
			if err := checkOutput(output); err != nil {
				return err
			}
			rules, err := rulesOf(s, packs, ruleset)
			if err != nil {
				return err
			}
			d, err := readContract(s, args[0], root)
			if err != nil {
				return err
			}
			return runLint(s, d, rules, output, severity)
		},
	}
	outputFlag(cmd, &output)
	rootFlag(cmd, &root)
	cmd.Flags().StringArrayVar(&packs, "pack", nil, "pack of rules, or all; may be repeated")
	cmd.Flags().StringVar(&ruleset, "ruleset", "", "file of rules in Spectral's shape, instead of packs")
	cmd.Flags().StringVar(&fail, "fail-on", "error", "least severity that counts: error, warning or info")
	return cmd
}

func rulesOf(s Streams, packs []string, ruleset string) (*lint.Ruleset, error) {
	if ruleset == "" {
		for _, pack := range packs {
			if pack == "all" {
				packs = lint.Packs()
				break
			}
		}
		r, err := lint.New(packs...)
		if err != nil {
			return nil, usagef("--pack: %w", err)
		}
		return r, nil
	}
	if len(packs) > 0 {
		return nil, usagef("--pack and --ruleset do not go together: write extends: [%s] into the ruleset", strings.Join(packs, ", "))
	}
	text, err := readBounded(s, ruleset)
	if err != nil {
		return nil, fmt.Errorf("--ruleset: %w", err)
	}
	r, problems := lint.Read(ruleset, text)
	for _, p := range problems {
		fmt.Fprintln(s.Err, p)
	}
	if rule.Bad(problems) {
		return nil, errors.New("the ruleset cannot be used")
	}
	return r, nil
}

// lintJSON is what lint prints with -o json.
type lintJSON struct {
	File     string           `json:"file"`
	AsyncAPI string           `json:"asyncapi,omitempty"`
	Problems []rule.Problem   `json:"problems"`
	Rights   []contract.Right `json:"rights,omitempty"`
	Score    *int             `json:"score,omitempty"`
	Packs    map[string]int   `json:"packs,omitempty"`
}

func runLint(s Streams, d *contract.Document, rules *lint.Ruleset, output string, fail rule.Severity) error {
	found := rules.Run(d)
	problems := rule.Sort(append(d.Problems, found.Problems...))
	scored := len(found.Packs) > 0
	if output == formatJSON {
		out := lintJSON{File: d.Name, AsyncAPI: d.Version, Problems: problems, Packs: found.Packs}
		if !d.Bad() {
			out.Rights = d.Rights()
		}
		if out.Problems == nil {
			out.Problems = []rule.Problem{}
		}
		if scored {
			out.Score = &found.Score
		}
		if err := writeJSON(s.Out, out); err != nil {
			return err
		}
	} else {
		counts := map[rule.Severity]int{}
		for _, p := range problems {
			counts[p.Severity]++
			fmt.Fprintln(s.Out, readableText(p.String()))
		}
		line := "good"
		switch {
		case len(problems) > 0:
			line = tally(counts)
			if counts[rule.Error] == 0 {
				line = "good, with " + line
			}
		}
		if scored {
			line += fmt.Sprintf("; score %d of 100", found.Score)
		}
		fmt.Fprintln(s.Out, readableText(line))
	}
	if rule.Worst(problems) >= fail {
		return errFindings
	}
	return nil
}

func tally(counts map[rule.Severity]int) string {
	var out []string
	for _, severity := range []rule.Severity{rule.Error, rule.Warning} {
		if n := counts[severity]; n > 0 {
			out = append(out, counted(n, severity.String()))
		}
	}
	if n := counts[rule.Info]; n > 0 {
		out = append(out, counted(n, "hint"))
	}
	return strings.Join(out, ", ")
}

func newBreaking(s Streams) *cobra.Command {
	var output, fail, root string
	var changelog bool
	cmd := &cobra.Command{
		Use:   "breaking OLD NEW",
		Short: "Tell what breaks between two revisions of an AsyncAPI document",
		Long: `Compare two revisions of an AsyncAPI document and tell what breaks, and whom:
readers of what the provider sends, or writers of what it receives. A provider may
promise more in what it sends and ask for less in what it receives.

The exit code is 0 when nothing has the severity of --fail-on, 3 when something has,
1 when a document could not be read.`,
		Example: `  sluice breaking orders-1.2.yaml orders-1.3.yaml
  sluice breaking old.yaml new.yaml --changelog >>CHANGELOG.md`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exactly(1, "the old revision")(cmd, args)
			}
			return exactly(2, "the new revision")(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			severity, err := failOn(fail)
			if err != nil {
				return err
			}
			if err := checkOutput(output); err != nil {
				return err
			}
			var models []*contract.Model
			for _, name := range args {
				d, err := readContract(s, name, root)
				if err != nil {
					return err
				}
				if d.Bad() {
					for _, p := range d.Problems {
						if p.Severity == rule.Error {
							fmt.Fprintln(s.Err, p)
						}
					}
				}
				if d.Model == nil {
					return fmt.Errorf("%s cannot be compared: sluice lint %s tells all", name, name)
				}
				models = append(models, d.Model)
			}
			return runBreaking(s, breaking.Compare(models[0], models[1]), output, changelog, severity)
		},
	}
	outputFlag(cmd, &output)
	rootFlag(cmd, &root)
	cmd.Flags().BoolVar(&changelog, "changelog", false, "print lines for a changelog, in Markdown")
	cmd.Flags().StringVar(&fail, "fail-on", "error", "least severity that counts: error, warning or info")
	return cmd
}

func runBreaking(s Streams, changes []breaking.Change, output string, changelog bool, fail rule.Severity) error {
	worst, counts := rule.Off, map[rule.Severity]int{}
	for _, c := range changes {
		worst = max(worst, c.Severity)
		counts[c.Severity]++
	}
	switch {
	case changelog:
		fmt.Fprint(s.Out, breaking.Changelog(changes))
	case output == formatJSON:
		out := struct {
			Breaking bool              `json:"breaking"`
			Changes  []breaking.Change `json:"changes"`
		}{breaking.Breaks(changes), changes}
		if changes == nil {
			out.Changes = []breaking.Change{}
		}
		if err := writeJSON(s.Out, out); err != nil {
			return err
		}
	default:
		for _, c := range changes {
			fmt.Fprintln(s.Out, readableText(c.String()))
			if c.Old.File != "" && c.New.File != "" {
				fmt.Fprintf(s.Out, "    was %s %s\n", c.Old, c.Old.Pointer)
			}
		}
		switch {
		case len(changes) == 0:
			fmt.Fprintln(s.Out, "nobody notices")
		case counts[rule.Error] == 0:
			fmt.Fprintln(s.Out, "nothing breaks,", tally(counts))
		default:
			fmt.Fprintln(s.Out, tally(map[rule.Severity]int{rule.Warning: counts[rule.Warning], rule.Info: counts[rule.Info], rule.Error: counts[rule.Error]}))
		}
	}
	if worst >= fail {
		return errFindings
	}
	return nil
}
