package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

func newApply(s Streams) *cobra.Command {
	var server serverFlags
	var documents documentFlags
	var dryRun, force bool
	var seen string
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Bring documents about: all of them, or none",
		Long: `Bring documents about: all of them, or none.

What is not in the files stays as it is; applying twice changes nothing. Secrets
are read where this command runs, and only what proves them is kept. A new
credential without a secret gets one, which is printed once.

What changed between looking at the documents and applying them is not overwritten:
somebody else was quicker, and the command says so. With --seen, that is so from the
"sluice diff --seen" on that wrote the file. --force overwrites whatever is there.

With --owner, the documents are marked as applied by it; --prune then removes
those of the owner that are not in the files any more.

With --as-is, a platform-admin takes over what another installation has exported, in
the states that it had there. An export has the newest revision of each version, none
before it, and not which one an environment has: look afterwards what is deployed
where, and promote.`,
		Example: "  sluice apply -f resources/\n  sluice diff -f resources/ --seen seen.json; sluice apply -f resources/ --seen seen.json\n  sluice export | sluice apply -f - --server https://elsewhere.example.com",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			w, err := documents.read(s)
			if err != nil {
				return err
			}
			switch {
			case force && seen != "":
				return usagef("--force and --seen do not go together")
			case seen != "":
				if w.body.Tags, err = readSeen(seen); err != nil {
					return err
				}
			case !force && !dryRun:
				looked, err := c.Apply(cmd.Context(), w.body, true)
				if err != nil {
					return w.tell(s, err)
				}
				w.body.Tags = tagsOf(looked)
			}
			report, err := c.Apply(cmd.Context(), w.body, dryRun)
			if err != nil {
				return w.tell(s, err)
			}
			return tellReport(s, report, server.output, false)
		},
	}
	server.add(cmd, formatTable, formatJSON)
	documents.add(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would happen, and change nothing")
	cmd.Flags().StringVar(&seen, "seen", "", "file of sluice diff --seen: nothing may have changed since")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite what changed meanwhile")
	return cmd
}

// tagsOf are the ETags of documents before what a report tells of them.
func tagsOf(report *schema.Report) map[string]string {
	tags := map[string]string{}
	for _, o := range report.Outcomes {
		if o.Result != "removed" { // which the owner decides
			tags[o.Kind+"/"+o.Name] = o.Was
		}
	}
	return tags
}

func readSeen(file string) (map[string]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--seen: %w", err)
	}
	var tags map[string]string
	if err := json.Unmarshal(b, &tags); err != nil {
		return nil, fmt.Errorf("--seen: %s is none of sluice diff --seen: %w", file, err)
	}
	return tags, nil
}

func (f *documentFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.files, "file", "f", nil, "file or directory of documents, - for the standard input; may be repeated")
	flags.StringVar(&f.owner, "owner", "", "what applies the documents, such as a repository and a path")
	flags.BoolVar(&f.prune, "prune", false, "remove documents of the owner that are not in the files")
	flags.StringVar(&f.reason, "reason", "", "for the audit log, and for what wants a reason")
	flags.BoolVar(&f.asIs, "as-is", false, "take over what another installation has exported, states included; for platform-admins")
	flags.StringVar(&f.waive, "waive", "", "deploy what breaks somebody all the same, for this reason")
}

func newDiff(s Streams) *cobra.Command {
	var server serverFlags
	var documents documentFlags
	var seen string
	cmd := &cobra.Command{
		Use:     "diff",
		Short:   "Say what apply would change",
		Long:    "Say what apply would change.\n\nReturns 0 when nothing would, 3 when something would, and 1 after an error.",
		Example: "  sluice diff -f resources/",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			w, err := documents.read(s)
			if err != nil {
				return err
			}
			report, err := c.Apply(cmd.Context(), w.body, true)
			if err != nil {
				return w.tell(s, err)
			}
			if seen != "" {
				if err := writeWhole(seen, func(out io.Writer) error { return writeJSON(out, tagsOf(report)) }); err != nil {
					return err
				}
			}
			if err := tellReport(s, report, server.output, true); err != nil {
				return err
			}
			if slices.ContainsFunc(report.Outcomes, func(o schema.Outcome) bool { return o.Result != "unchanged" }) {
				return errFindings
			}
			return nil
		},
	}
	server.add(cmd, formatTable, formatJSON)
	documents.add(cmd)
	cmd.Flags().StringVar(&seen, "seen", "", "file to write for sluice apply --seen, which then refuses what changed meanwhile")
	return cmd
}

// tellReport writes what became of documents; with fields, what changes in them.
func tellReport(s Streams, report *schema.Report, format string, fields bool) error {
	if format == formatJSON {
		return writeJSON(s.Out, report)
	}
	warnFaults(s, report.Warnings)
	var rows [][]string
	counts := map[string]int{}
	for _, o := range report.Outcomes {
		counts[o.Result]++
		if fields && o.Result == "unchanged" {
			continue
		}
		rows = append(rows, []string{o.Result, o.Kind, o.Name, o.State})
		if fields && o.Result == "changed" {
			for _, d := range o.Differences {
				rows = append(rows, []string{"", "  " + d.Path, shown(d.Before) + " → " + shown(d.After)})
			}
		}
	}
	if err := table(s.Out, rows); err != nil {
		return err
	}
	var sums []string
	for _, result := range []string{"created", "changed", "removed", "unchanged"} {
		if n := counts[result]; n > 0 {
			sums = append(sums, fmt.Sprintf("%d %s", n, result))
		}
	}
	if len(sums) == 0 {
		sums = []string{"nothing to do"}
	}
	end := ""
	if report.DryRun {
		end = " (nothing was changed)"
	}
	fmt.Fprintln(s.Out, strings.Join(sums, ", ")+end)
	for _, o := range report.Outcomes {
		for _, d := range o.Deployed {
			if d.Waits {
				fmt.Fprintln(s.Out, readableText(deployedLine(o.Name, d)))
			}
		}
	}
	for _, o := range report.Outcomes {
		if o.WaitsFor != "" && o.Result != "unchanged" {
			fmt.Fprintf(s.Out, "%s %s waits for team %s, whose approvers and publishers decide: sluice approve subscription %s\n", o.Kind, o.Name, o.WaitsFor, o.Name)
		}
	}
	for _, o := range report.Outcomes {
		tellClient(s, o.Name, o.Secret, o.Client)
	}
	return nil
}

func shown(v any) string {
	if v == nil {
		return "(none)"
	}
	if text, ok := v.(string); ok {
		return text
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(b)
}

func newGet(s Streams) *cobra.Command {
	var server serverFlags
	var environment, team string
	formats := []string{formatTable, formatJSON, formatYAML}
	cmd := &cobra.Command{
		Use: "get KIND [NAME]", Short: "Show documents",
		Example: "  sluice get subscriptions --environment prod\n  sluice get subscription acme-orders -o yaml",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usagef("name a kind, and perhaps a document, as in: sluice get subscriptions")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formats...)
			if err != nil {
				return err
			}
			kind, plural, err := kindOf(args[0])
			if err != nil {
				return err
			}
			var all []schema.Document
			if len(args) == 2 {
				d, err := c.Get(cmd.Context(), plural, args[1])
				if err != nil {
					return err
				}
				all = append(all, *d)
			} else {
				query := url.Values{"limit": {"1000"}}
				if environment != "" {
					query.Set("environment", environment)
				}
				if team != "" {
					query.Set("team", team)
				}
				if err := c.List(cmd.Context(), plural, query, func(d schema.Document) error { all = append(all, d); return nil }); err != nil {
					return err
				}
			}
			switch server.output {
			case formatJSON:
				if len(args) == 2 {
					return writeJSON(s.Out, all[0])
				}
				return writeJSON(s.Out, all)
			case formatYAML:
				return writeDocuments(s, all)
			}
			if err := listDocuments(s, kind, all); err != nil || len(args) == 1 {
				return err
			}
			return listSecrets(s.Out, all[0])
		},
	}
	server.add(cmd, formats...)
	cmd.Flags().StringVar(&environment, "environment", "", "of this environment")
	cmd.Flags().StringVar(&team, "team", "", "owned by this team")
	return cmd
}

// listDocuments writes documents as a table.
func listDocuments(s Streams, kind resource.Kind, all []schema.Document) error {
	if len(all) == 0 {
		fmt.Fprintf(s.Err, "no documents of kind %s that you may see\n", kind)
		return nil
	}
	if kind == resource.KindGateway {
		return listGateways(s, all)
	}
	own := columns[kind]
	head := []string{"NAME", "ENVIRONMENT"}
	for _, c := range own {
		head = append(head, c.name)
	}
	rows := [][]string{append(head, "TEAM", "STATE", "SERIAL", "CHANGED")}
	for _, d := range all {
		metadata, err := metadataOf(d)
		if err != nil {
			return err
		}
		var spec shownSpec
		if err := json.Unmarshal(d.Spec, &spec); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		row := []string{metadata.Name, dash(metadata.Environment)}
		for _, c := range own {
			row = append(row, dash(c.of(spec)))
		}
		team, serial, changed := "-", "-", "-"
		if d.Status != nil {
			team, serial, changed = dash(d.Status.Team), fmt.Sprint(d.Status.Serial), d.Status.Changed.UTC().Format(time.RFC3339)
		}
		rows = append(rows, append(row, team, dash(spec.State+spec.Lifecycle.State), serial, changed))
	}
	return table(s.Out, filled(rows))
}

// shownSpec is what tables show of a document's spec.
type shownSpec struct {
	State       string
	Lifecycle   struct{ State string }
	Title       string
	Visibility  string
	Application string
	Product     string
	Plan        string
	Type        string
	Until       string
	NotAfter    string
	After       string
	Versions    []string
	Plans       map[string]json.RawMessage
}

type column struct {
	name string
	of   func(shownSpec) string
}

// columns are what tables show of documents of a kind, beside what all have.
var columns = map[resource.Kind][]column{
	resource.KindEnvironment: {{"AFTER", func(s shownSpec) string { return s.After }}, {"TITLE", func(s shownSpec) string { return s.Title }}},
	resource.KindAPI:         {{"VISIBILITY", func(s shownSpec) string { return s.Visibility }}, {"TITLE", func(s shownSpec) string { return s.Title }}},
	resource.KindProduct: {{"VERSIONS", func(s shownSpec) string { return strings.Join(s.Versions, " ") }},
		{"PLANS", func(s shownSpec) string { return strings.Join(slices.Sorted(maps.Keys(s.Plans)), " ") }}},
	resource.KindSubscription: {{"APPLICATION", func(s shownSpec) string { return s.Application }}, {"PRODUCT", func(s shownSpec) string { return s.Product }},
		{"PLAN", func(s shownSpec) string { return s.Plan }}},
	resource.KindCredential: {{"APPLICATION", func(s shownSpec) string { return s.Application }}, {"TYPE", func(s shownSpec) string { return s.Type }},
		{"ENDS", func(s shownSpec) string { return cmp.Or(s.Until, s.NotAfter) }}},
}

// filled leaves out the columns in which nothing stands.
func filled(rows [][]string) [][]string {
	out := make([][]string, len(rows))
	for c := range rows[0] {
		if !slices.ContainsFunc(rows[1:], func(row []string) bool { return row[c] != "-" }) {
			continue
		}
		for i, row := range rows {
			out[i] = append(out[i], row[c])
		}
	}
	return out
}

type metadata struct{ Name, Environment string }

func metadataOf(d schema.Document) (m metadata, err error) {
	if err = json.Unmarshal(d.Metadata, &m); err != nil {
		err = fmt.Errorf("read the answer: %w", err)
	}
	return m, err
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// writeDocuments writes documents as files hold them, without what only the server
// knows.
func writeDocuments(s Streams, all []schema.Document) error {
	for i, d := range all {
		document, err := documentOf(d)
		if err != nil {
			return err
		}
		text, err := resource.YAML(document)
		if err != nil {
			return err
		}
		if i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if _, err := s.Out.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func newExport(s Streams) *cobra.Command {
	var server serverFlags
	cmd := &cobra.Command{
		Use: "export", Short: "Write all documents that you may see, as apply takes them",
		Long:    "Write all documents that you may see, as apply takes them.\n\nStates are in them; secrets are not, and nowhere to be had.",
		Example: "  sluice export >resources.yaml",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := server.client(formatYAML)
			if err != nil {
				return err
			}
			var all []schema.Document
			for _, kind := range resource.Kinds {
				if err := c.List(cmd.Context(), kind.Plural(), url.Values{"limit": {"1000"}}, func(d schema.Document) error { all = append(all, d); return nil }); err != nil {
					return fmt.Errorf("%s: %w", kind.Plural(), err)
				}
			}
			if err := withContracts(cmd, c, all); err != nil {
				return err
			}
			if err := withPages(cmd, c, all); err != nil {
				return err
			}
			return writeDocuments(s, all)
		},
	}
	server.add(cmd, formatYAML)
	return cmd
}

func newDelete(s Streams) *cobra.Command {
	var server serverFlags
	var o client.Options
	cmd := &cobra.Command{
		Use: "delete KIND NAME", Short: "Remove a document",
		Example: "  sluice delete subscription acme-orders",
		Args:    exactly(2, "a kind and a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			_, plural, err := kindOf(args[0])
			if err != nil {
				return err
			}
			report, err := c.Delete(cmd.Context(), plural, args[1], o)
			if err != nil {
				return err
			}
			return tellReport(s, report, server.output, false)
		},
	}
	server.add(cmd, formatTable, formatJSON)
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "say what would happen, and change nothing")
	cmd.Flags().StringVar(&o.Reason, "reason", "", "for the audit log")
	return cmd
}
