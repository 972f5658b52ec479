package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/control/audit"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

func newAudit(s Streams) *cobra.Command {
	return group("audit", "What was written down of who changed what", newAuditList(s), newAuditExport(s), newAuditKey(s), newAuditVerify(s))
}

func newAuditList(s Streams) *cobra.Command {
	var server serverFlags
	var actor, action, object, organisation, team, from, to string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "Search the audit log, the newest rows first",
		Long:    "Search the audit log, the newest rows first.\n\nAn auditor or org-admin sees what was done to things of the organisation or team,\na platform-admin sees everything.",
		Example: "  sluice audit list --object Subscription/acme-orders\n  sluice audit list --actor 'person ada' --from 2026-05-01T00:00:00Z -o json",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			if limit < 1 {
				return usagef("--limit %d: at least one row", limit)
			}
			if object != "" {
				if err := auditedObject(object); err != nil {
					return err
				}
			}
			query := url.Values{"limit": {strconv.Itoa(min(limit, 1000))}}
			for name, value := range map[string]string{"actor": actor, "action": action, "object": object, "organisation": organisation, "team": team} {
				if value != "" {
					query.Set(name, value)
				}
			}
			for name, value := range map[string]string{"from": from, "to": to} {
				if value == "" {
					continue
				}
				at, err := time.Parse(time.RFC3339, value)
				if err != nil {
					return usagef("--%s %q is no time: write it as 2026-05-01T00:00:00Z", name, value)
				}
				query.Set(name, at.UTC().Format(time.RFC3339Nano))
			}
			rows, more, err := upTo(limit, func(f func(schema.AuditRow) bool) error { return c.Audit(cmd.Context(), query, f) })
			if err != nil {
				return err
			}
			if server.output == formatJSON {
				return writeJSON(s.Out, rows)
			}
			if len(rows) == 0 {
				fmt.Fprintln(s.Err, "no rows that you may see")
				return nil
			}
			lines := [][]string{{"ROW", "TIME", "ACTOR", "ACTION", "OBJECT", "ENVIRONMENT", "REVISION", "RESULT", "REASON"}}
			for _, r := range rows {
				of := r.Kind
				if r.Name != "" {
					of += "/" + r.Name
				}
				environment, revision := whereOf(r)
				lines = append(lines, []string{strconv.FormatInt(r.Seq, 10), r.Time.UTC().Format(time.RFC3339), readable([]byte(r.Actor)), r.Action, dash(readable([]byte(of))),
					dash(environment), dash(revision), r.Result, readable([]byte(r.Reason))})
			}
			if err := table(s.Out, lines); err != nil {
				return err
			}
			if more {
				fmt.Fprintf(s.Err, "there are more: --limit %d is reached\n", limit)
			}
			return nil
		},
	}
	server.add(cmd, formatTable, formatJSON)
	flags := cmd.Flags()
	flags.StringVar(&actor, "actor", "", "by whom, as 'person ada', 'token ci-shop' or system")
	flags.StringVar(&action, "action", "", "what, as apply, approve or login")
	flags.StringVar(&object, "object", "", "to what, as Subscription/acme-orders or Person/ada; a kind alone is all of the kind")
	flags.StringVar(&organisation, "organisation", "", "what belongs to this organisation")
	flags.StringVar(&team, "team", "", "what belongs to this team")
	flags.StringVar(&from, "from", "", "not before, as 2026-05-01T00:00:00Z")
	flags.StringVar(&to, "to", "", "before, as 2026-06-01T00:00:00Z")
	flags.IntVar(&limit, "limit", 100, "how many rows at most")
	return cmd
}

// person is the kind of accounts in the audit log, which are no documents.
const person = "Person"

// auditedObject checks what --object names.
func auditedObject(object string) error {
	kind, name, named := strings.Cut(object, "/")
	if kind == person && (!named || name != "") {
		return nil
	}
	for _, k := range resource.Kinds {
		switch {
		case string(k) == kind && (!named || name != ""):
			return nil
		case strings.EqualFold(string(k), kind), strings.EqualFold(k.Plural(), kind):
			return usagef("--object %q: write it as %s/NAME, or %s for all of the kind", object, k, k)
		}
	}
	return usagef("--object %q is not a kind, nor a kind and a name: write it as Subscription/acme-orders, or Person/ada", object)
}

// whereOf says of which environment a row is, and of which revision of a version.
func whereOf(r schema.AuditRow) (environment, revision string) {
	type at struct {
		Environment string
		Revision    int
	}
	var details struct {
		at
		Deployed []at
		Rejected at
	}
	if json.Unmarshal(r.Details, &details) != nil {
		return "", "" // rows of all times are listed
	}
	var where, which []string
	for _, one := range slices.Concat([]at{details.at}, details.Deployed, []at{details.Rejected}) {
		if one.Environment != "" && !slices.Contains(where, one.Environment) {
			where = append(where, one.Environment)
		}
		if n := strconv.Itoa(one.Revision); one.Revision > 0 && !slices.Contains(which, n) {
			which = append(which, n)
		}
	}
	return readable([]byte(strings.Join(where, ", "))), strings.Join(which, ", ")
}

func newAuditExport(s Streams) *cobra.Command {
	var server serverFlags
	var from int64
	var force bool
	cmd := &cobra.Command{
		Use: "export [FILE]", Short: "Write the whole audit log as CloudEvents, with signed heads",
		Long: `Write the whole audit log as CloudEvents 1.0, one a line, with the heads that sign it; to FILE, which is complete or
not there, or to the standard output. A FILE that is there stays, unless --force replaces it. It is for platform-admins.
"sluice audit verify" reads it, offline.`,
		Example: "  sluice audit export audit.jsonl\n  sluice audit export --from 120001 since-2026.jsonl",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formatTable)
			if err != nil {
				return err
			}
			if from < 1 {
				return usagef("--from %d: rows are numbered from 1 on", from)
			}
			if len(args) == 0 {
				return c.ExportAudit(cmd.Context(), from, s.Out)
			}
			return writeNew(args[0], force, func(out io.Writer) error { return c.ExportAudit(cmd.Context(), from, out) })
		},
	}
	server.add(cmd, formatTable)
	cmd.Flags().Int64Var(&from, "from", 1, "`NUMBER` of the first row")
	cmd.Flags().BoolVar(&force, "force", false, "replace the file when it is there")
	return cmd
}

func newAuditKey(s Streams) *cobra.Command {
	var server serverFlags
	cmd := &cobra.Command{
		Use: "key", Short: "Print the public key that heads of the audit log are signed with",
		Long: `Print the public key that heads of the audit log are signed with, as "sluice audit verify --key" takes it. Keep it where
nobody who could write the log can exchange it.`,
		Example: "  sluice audit key >audit.key.pub",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			key, err := c.AuditKey(cmd.Context())
			if err != nil {
				return err
			}
			if server.output == formatJSON {
				return writeJSON(s.Out, key)
			}
			_, err = io.WriteString(s.Out, key.PEM)
			return err
		},
	}
	server.add(cmd, formatTable, formatJSON)
	return cmd
}

func newAuditVerify(s Streams) *cobra.Command {
	var keys, heads []string
	var from int64
	cmd := &cobra.Command{
		Use:   "verify FILE --key FILE",
		Short: "Find out, offline, whether an exported audit log is whole",
		Long: `Reads an exported audit log and names each row that was altered, removed, inserted or put elsewhere, and each head
that is not signed by one of the keys. The exit code is 3 when there is any.

Someone who has the log and can write it may cut off its end together with the heads there, back to an older head: only a
newer head that was kept elsewhere shows it. Give files of such heads with --heads.`,
		Example: `  sluice audit verify audit.jsonl --key audit.key.pub
  sluice audit verify audit.jsonl --key audit.key.pub --heads kept/heads.jsonl
  sluice audit verify since-2026.jsonl --from 120001 --key audit.key.pub`,
		Args: exactly(1, "the exported file"),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(keys) == 0 {
				return usagef("--key is missing: without a public key, whoever wrote the file may have signed it")
			}
			if from < 1 {
				return usagef("--from %d: rows are numbered from 1 on", from)
			}
			o := audit.VerifyOptions{From: from}
			for _, path := range keys {
				read, err := audit.ReadPublicKeys(path)
				if err != nil {
					return err
				}
				o.Keys = append(o.Keys, read...)
			}
			for _, path := range heads {
				read, err := readHeads(path)
				if err != nil {
					return err
				}
				o.Heads = append(o.Heads, read...)
			}
			return verifyAudit(s, args[0], o)
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "`FILE` with the public key of heads, in PEM; can be repeated")
	cmd.Flags().StringArrayVar(&heads, "heads", nil, "`FILE` with heads that were kept elsewhere; can be repeated")
	cmd.Flags().Int64Var(&from, "from", 1, "`NUMBER` of the first row that the file is expected to have")
	return cmd
}

func readHeads(path string) ([]audit.Head, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	heads, err := audit.ReadHeads(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return heads, nil
}

func verifyAudit(s Streams, path string, o audit.VerifyOptions) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := audit.Verify(f, o)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, found := range r.Findings {
		at := "at the end"
		if found.Line > 0 {
			at = fmt.Sprintf("line %d", found.Line)
		}
		if _, err := fmt.Fprintf(s.Out, "%s, %s: %s\n", path, at, readableText(found.Message)); err != nil {
			return err
		}
	}
	if n := len(r.Findings); n > 0 {
		more := ""
		if n == audit.MaxFindings {
			more = " or more"
		}
		fmt.Fprintf(s.Err, "sluice: %s is not whole: %s%s\n", path, counted(n, "finding"), more)
		return errFindings
	}
	if r.Rows == 0 { // a whole export never is: it was cut off, or never written
		if _, err := fmt.Fprintf(s.Out, "%s has no rows: an export has at least the row that it was made, unless --from was behind the end of the log\n", path); err != nil {
			return err
		}
		fmt.Fprintf(s.Err, "sluice: %s is not whole: it has no rows\n", path)
		return errFindings
	}
	_, err = fmt.Fprintf(s.Out, "%s is whole: rows %d to %d of log %s, covered by %s, the last signed at %s\n",
		path, r.First, r.Last, r.Log, counted(r.Heads, "head"), r.SignedAt.Format(time.RFC3339))
	return err
}
