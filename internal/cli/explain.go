package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

// rejectionWord is what explain calls what a gateway refused.
const rejectionWord = "rejection"

func newExplain(s Streams) *cobra.Command {
	var server serverFlags
	var environment string
	cmd := &cobra.Command{
		Use: "explain KIND NAME", Short: "Say what an application or credential may do and why, or why something was refused",
		Long: `Say what an application or a credential may do with which topics, where each right
comes from, and how it will stand later; or what decided about a rejection, whose
id stands in the client's log.`,
		Example: "  sluice explain application acme-erp --environment prod\n  sluice explain credential acme-erp-1\n  sluice explain rejection RABCDEFGH", Args: exactly(2, "a kind and a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			if args[0] == rejectionWord {
				r, err := c.Rejection(cmd.Context(), args[1])
				if err != nil {
					return err
				}
				if server.output == formatJSON {
					return writeJSON(s.Out, r)
				}
				return tellRejection(s, r)
			}
			kind, plural, err := kindOf(args[0])
			if err != nil {
				return err
			}
			if kind != resource.KindApplication && kind != resource.KindCredential {
				return usagef("explain is for an application, a credential or a rejection")
			}
			e, err := c.Effective(cmd.Context(), plural, args[1], environment)
			if err != nil {
				return err
			}
			if server.output == formatJSON {
				return writeJSON(s.Out, e)
			}
			return tellEffective(s, e)
		},
	}
	server.add(cmd, formatTable, formatJSON)
	cmd.Flags().StringVar(&environment, "environment", "", "of an application, where it has subscriptions in several")
	return cmd
}

func tellEffective(s Streams, e *schema.Effective) error {
	out := &strings.Builder{}
	fmt.Fprintf(out, "application %s in %s", e.Application, e.Environment)
	if e.Suspended {
		out.WriteString(", suspended")
	}
	out.WriteString("\n")
	for _, t := range e.Topics {
		out.WriteString("\n")
		explainTopic(out, t)
	}
	if len(e.Topics) == 0 {
		out.WriteString("no topics\n")
	}
	for _, c := range e.Credentials {
		fmt.Fprintf(out, "\ncredential %s (%s, %s) sees %s\n", c.Name, c.Type, c.State, orNothing(c.Topics))
		for _, topic := range slices.Sorted(maps.Keys(c.Not)) {
			fmt.Fprintf(out, "  not %s: %s\n", topic, c.Not[topic])
		}
	}
	_, err := fmt.Fprint(s.Out, readableText(out.String()))
	return err
}

func orNothing(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// explainTopic writes what an application has of a topic.
func explainTopic(out *strings.Builder, t schema.EffectiveTopic) {
	fmt.Fprintf(out, "%s: %s", t.Topic, t.Now.State)
	if t.Now.Rule != "" {
		fmt.Fprintf(out, " (%s)", t.Now.Rule)
	}
	revision := ""
	if t.Revision > 0 {
		revision = fmt.Sprintf(" revision %d", t.Revision)
	}
	fmt.Fprintf(out, "\n  from subscription %s to product %s, plan %s: channel %s of %s%s\n", t.Subscription, t.Product, t.Plan, t.Channel, t.Version, revision)
	for _, right := range []struct {
		word string
		schema.EffectiveRight
	}{{"read", t.Read}, {"write", t.Write}} {
		word := right.word
		if !right.Granted {
			word = "no " + word
		}
		fmt.Fprintf(out, "  %s: %s\n", word, right.Because)
	}
	if len(t.Manage) > 0 {
		fmt.Fprintf(out, "  manage: %s, by plan %s\n", strings.Join(t.Manage, ", "), t.Plan)
	}
	for _, l := range t.Limits {
		fmt.Fprintf(out, "  limit %s: %s, by %s; not enforced yet\n", l.Name, l.Value, l.From)
	}
	for _, p := range t.Next {
		fmt.Fprintf(out, "  from %s on: %s (%s)\n", p.From.UTC().Format(time.RFC3339), p.State, p.Rule)
	}
}

func tellRejection(s Streams, r *schema.Rejection) error {
	out := &strings.Builder{}
	fmt.Fprintf(out, "%s at %s: %s %s %q: %s: %s\n", r.ID, r.Time.UTC().Format(time.RFC3339), r.Operation, r.What, r.Name, r.Verdict, r.Rule)
	if r.Application != "" {
		fmt.Fprintf(out, "  application %s in %s", r.Application, r.Environment)
		if r.Credential != "" { // a provider is not told
			fmt.Fprintf(out, ", credential %s", r.Credential)
		}
		out.WriteString("\n")
	}
	out.WriteString("  ")
	if r.Address != "" {
		fmt.Fprintf(out, "from %s, ", r.Address)
	}
	fmt.Fprintf(out, "by gateway %s, in a request %s\n", r.Gateway, r.API)
	if r.Topic != nil {
		out.WriteString("now:\n")
		explainTopic(out, *r.Topic)
	}
	_, err := fmt.Fprint(s.Out, readableText(out.String()))
	return err
}

func newWhoIs(s Streams) *cobra.Command {
	var server serverFlags
	cmd := &cobra.Command{
		Use: "whois NAME", Short: "Say whose a group, transactional id or topic of a target cluster is", Example: "  sluice whois tabcdefghijkl.billing", Args: exactly(1, "the name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			got, err := c.WhoIs(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if server.output == formatJSON {
				return writeJSON(s.Out, got)
			}
			for _, p := range got.Items {
				line := fmt.Sprintf("%s of application %s in %s", p.Name, p.Application, p.Environment)
				if p.Adopted {
					line = fmt.Sprintf("%s, adopted by application %s", p.Name, p.Application)
				}
				if _, err := fmt.Fprintln(s.Out, readableText(line)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	server.add(cmd, formatTable, formatJSON)
	return cmd
}
