package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

// versionCommand makes a command about one version.
func versionCommand(use, short, long, example string, server *serverFlags, formats []string, run func(cmd *cobra.Command, c *client.Client, name string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use + " version NAME", Short: short, Long: strings.TrimSpace(short + ".\n\n" + long), Example: "  sluice " + use + " " + example, Args: exactly(2, "a kind and a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formats...)
			if err != nil {
				return err
			}
			if err := onlyKind(args[0], resource.KindVersion, use+" is about a version"); err != nil {
				return err
			}
			return run(cmd, c, args[1])
		},
	}
	server.add(cmd, formats...)
	return cmd
}

func newPromote(s Streams) *cobra.Command {
	var server serverFlags
	var body schema.Promote
	var dryRun bool
	cmd := versionCommand("promote", "Bring a revision of a version to the next environment", `The order of environments is in their documents: each names the one before it
(after). What is there is promoted, unless --revision names another one that has
been there. It is checked against what the environment has: what breaks somebody
is refused without --waive. Where the environment wants four eyes, it waits until
somebody else approves it.

To an environment at the beginning of the order, the newest revision is brought,
as after a rollback.`, "version orders.v1 --from qa --to prod", &server, []string{formatTable, formatJSON}, func(cmd *cobra.Command, c *client.Client, name string) error {
		if body.To == "" {
			return usagef("--to is missing: name the environment")
		}
		report, err := c.Promote(cmd.Context(), name, body, dryRun)
		if err != nil {
			return toldFaults(s, err)
		}
		return tellDeployed(s, name, report, server.output)
	})
	flags := cmd.Flags()
	flags.StringVar(&body.To, "to", "", "environment that gets it")
	flags.StringVar(&body.From, "from", "", "environment that has it (default the one before)")
	flags.IntVar(&body.Revision, "revision", 0, "another revision than what is there now")
	flags.StringVar(&body.Waive, "waive", "", "deploy it although it breaks somebody, for this reason")
	flags.StringVar(&body.Reason, "reason", "", "for the audit log, and for who approves")
	flags.BoolVar(&dryRun, "dry-run", false, "say what would happen, and change nothing")
	return cmd
}

func newRollback(s Streams) *cobra.Command {
	var server serverFlags
	var body schema.Rollback
	var dryRun bool
	cmd := versionCommand("rollback", "Bring an earlier revision of a version back to an environment", `It passed all checks when it came, and waits for nobody now. The document stays as
it is: applying the same file again changes nothing, another one makes a new
revision.`, "version orders.v1 --environment prod", &server, []string{formatTable, formatJSON}, func(cmd *cobra.Command, c *client.Client, name string) error {
		if body.Environment == "" {
			return usagef("--environment is missing")
		}
		report, err := c.Rollback(cmd.Context(), name, body, dryRun)
		if err != nil {
			return toldFaults(s, err)
		}
		return tellDeployed(s, name, report, server.output)
	})
	flags := cmd.Flags()
	flags.StringVar(&body.Environment, "environment", "", "where")
	flags.IntVar(&body.To, "to", 0, "a revision that it has had (default the one before)")
	flags.StringVar(&body.Reason, "reason", "", "for the audit log")
	flags.BoolVar(&dryRun, "dry-run", false, "say what would happen, and change nothing")
	return cmd
}

// toldFaults writes all that the server says against something.
func toldFaults(s Streams, err error) error { return (&wanted{}).tell(s, err) }

func warnFaults(s Streams, warnings []schema.Fault) {
	for _, w := range warnings {
		fmt.Fprintln(s.Err, readableText(resource.Problem{Warning: true, Kind: resource.Kind(w.Kind), Name: w.Name, Path: w.Path, Message: w.Message, Fix: w.Fix}.String()))
	}
}

func tellDeployed(s Streams, name string, r *schema.DeployReport, format string) error {
	if format == formatJSON {
		return writeJSON(s.Out, r)
	}
	warnFaults(s, r.Warnings)
	end := ""
	if r.DryRun {
		end = " (nothing was changed)"
	}
	_, err := fmt.Fprintln(s.Out, readableText(deployedLine(name, r.Deployed)+end))
	return err
}

// deployedLine says what became of a revision.
func deployedLine(name string, d schema.Deployed) string {
	switch {
	case d.Waits:
		return fmt.Sprintf("Version %s: revision %d waits for approval in %s: %s", name, d.Revision, d.Environment, decideCommand("approve", string(resource.KindVersion), name, d.Environment, "", d.Revision))
	case d.Was == d.Revision:
		return fmt.Sprintf("Version %s: %s has revision %d already", name, d.Environment, d.Revision)
	case d.Was == 0:
		return fmt.Sprintf("Version %s: %s has revision %d", name, d.Environment, d.Revision)
	}
	return fmt.Sprintf("Version %s: %s has revision %d, and had %d", name, d.Environment, d.Revision, d.Was)
}

func newRevisions(s Streams) *cobra.Command {
	var server serverFlags
	return versionCommand("revisions", "List the revisions of a version, and where they are", "", "version orders.v1", &server, []string{formatTable, formatJSON}, func(cmd *cobra.Command, c *client.Client, name string) error {
		all, err := c.Revisions(cmd.Context(), name)
		if err != nil {
			return err
		}
		where, err := c.Deployments(cmd.Context(), name)
		if err != nil {
			return err
		}
		if server.output == formatJSON {
			return writeJSON(s.Out, struct {
				Revisions   []schema.Revision   `json:"revisions"`
				Deployments *schema.Deployments `json:"deployments"`
			}{all.Items, where})
		}
		rows := [][]string{{"REVISION", "CREATED", "BY", "HASH", "IN"}}
		for _, r := range all.Items {
			var in []string
			for _, d := range where.Items {
				if d.Revision == r.N {
					in = append(in, d.Environment)
				}
				if d.Waiting != nil && d.Waiting.Revision == r.N {
					in = append(in, d.Environment+" (waits)")
				}
			}
			rows = append(rows, []string{fmt.Sprint(r.N), r.Created.UTC().Format(time.RFC3339), dash(r.By), r.Hash[:min(12, len(r.Hash))], dash(strings.Join(in, ", "))})
		}
		return table(s.Out, rows)
	})
}

func newContract(s Streams) *cobra.Command {
	var server serverFlags
	var revision int
	var environment string
	cmd := versionCommand("contract", "Print the AsyncAPI document of a version", `Whoever owns the version gets it as it was applied. With --environment, and for
everybody else, it is what is offered there: no servers, exposed topics only.`, "version orders.v1 --environment prod", &server, []string{formatYAML, formatJSON}, func(cmd *cobra.Command, c *client.Client, name string) error {
		text, err := c.Contract(cmd.Context(), name, revision, environment, server.output)
		if err != nil {
			return err
		}
		_, err = s.Out.Write(text)
		return err
	})
	cmd.Flags().IntVar(&revision, "revision", 0, "revision (default the newest, or the one that the environment has)")
	cmd.Flags().StringVar(&environment, "environment", "", "as it is offered there")
	return cmd
}

func newCompare(s Streams) *cobra.Command {
	var server serverFlags
	var from, to int
	var environment string
	cmd := versionCommand("compare", "Compare two revisions of a version", `Fields that differ, and what clients notice. Returns 0 when nothing differs, 3 when
something does, and 1 after an error.`, "version orders.v1 --from 1 --to 2 --environment prod", &server, []string{formatTable, formatJSON}, func(cmd *cobra.Command, c *client.Client, name string) error {
		if from == 0 {
			return usagef("--from is missing: name a revision")
		}
		got, err := c.Compare(cmd.Context(), name, from, to, environment)
		if err != nil {
			return err
		}
		if server.output == formatJSON {
			err = writeJSON(s.Out, got)
		} else {
			err = tellComparison(s, got)
		}
		if err == nil && len(got.Differences)+len(got.Findings) > 0 {
			err = errFindings
		}
		return err
	})
	cmd.Flags().IntVar(&from, "from", 0, "revision")
	cmd.Flags().IntVar(&to, "to", 0, "revision (default the newest)")
	cmd.Flags().StringVar(&environment, "environment", "", "as they are offered there, with the subscriptions that are concerned")
	return cmd
}

func tellComparison(s Streams, c *schema.Comparison) error {
	var rows [][]string
	for _, d := range c.Differences {
		rows = append(rows, []string{d.Path, shown(d.Before) + " → " + shown(d.After)})
	}
	if err := table(s.Out, rows); err != nil {
		return err
	}
	for _, f := range c.Findings {
		line := f.Severity + ": "
		if len(f.Who) > 0 {
			line += strings.Join(f.Who, " and ") + ": "
		}
		line += f.Message + " [" + f.Rule + "]"
		live := slices.Clone(f.Subscriptions)
		if f.Others > 0 {
			live = append(live, fmt.Sprintf("%d that you may not see", f.Others))
		}
		if len(live) > 0 {
			line += ", live are " + strings.Join(live, ", ")
		}
		if _, err := fmt.Fprintln(s.Out, readableText(line)); err != nil {
			return err
		}
	}
	if len(rows)+len(c.Findings) == 0 {
		fmt.Fprintf(s.Out, "revisions %d and %d are the same\n", c.From, c.To)
	}
	return nil
}

// respec changes the spec of each document of a kind, where f says that it has.
func respec(all []schema.Document, kind resource.Kind, f func(name string, spec map[string]any) (changed bool, err error)) error {
	for i, d := range all {
		if d.Kind != string(kind) {
			continue
		}
		var spec map[string]any
		if err := json.Unmarshal(d.Spec, &spec); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		metadata, err := metadataOf(d)
		if err != nil {
			return err
		}
		switch changed, err := f(metadata.Name, spec); {
		case err != nil:
			return err
		case !changed:
			continue
		}
		if all[i].Spec, err = json.Marshal(spec); err != nil {
			return err
		}
	}
	return nil
}

// withContracts puts the texts of AsyncAPI documents where apply takes them, instead of
// their digests.
func withContracts(cmd *cobra.Command, c *client.Client, all []schema.Document) error {
	return respec(all, resource.KindVersion, func(name string, spec map[string]any) (bool, error) {
		if its, _ := spec["contract"].(map[string]any); its["digest"] == nil {
			return false, nil
		}
		text, err := c.Contract(cmd.Context(), name, 0, "", formatYAML)
		if err != nil {
			return false, fmt.Errorf("the contract of %s: %w", name, err)
		}
		spec["contract"] = map[string]any{"asyncapi": string(text)}
		return true, nil
	})
}

// withPages does the same with the documentation of APIs.
func withPages(cmd *cobra.Command, c *client.Client, all []schema.Document) error {
	return respec(all, resource.KindAPI, func(name string, spec map[string]any) (bool, error) {
		if docs, _ := spec["docs"].(map[string]any); docs["digest"] == nil {
			return false, nil
		}
		pages, err := c.Pages(cmd.Context(), name)
		if err != nil {
			return false, fmt.Errorf("the pages of %s: %w", name, err)
		}
		spec["docs"] = pages
		return true, nil
	})
}
