package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/config"
	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
)

func newControl(s Streams, p Programs) *cobra.Command {
	var f setupFlags
	cmd := &cobra.Command{
		Use:   "control",
		Short: "Run the control plane, for gateways that run apart",
		Long: `Run the control plane, for gateways that run apart.

Documents are in its store, and come there by the management API (sluice apply).
Gateways are documents of kind Gateway; each joins with a token that sluice
gateway invite prints, and gets what is in force in its environment, signed, as
it changes. While the control plane is away, gateways go on with what they have.`,
		Example: "  sluice control --feed 0.0.0.0:18081 --data-dir control-data",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			setup, err := f.load(s)
			if err != nil {
				return err
			}
			return p.Control(cmd.Context(), setup)
		},
	}
	f.common(cmd)
	f.managed(cmd)
	operationsFlag(cmd, &f.operations)
	cmd.Flags().StringVar(&f.environment, "environment", "", "environment whose state is where sluice serve has it")
	cmd.Flags().StringVar(&f.feed, "feed", "", "host:port for gateways (default 127.0.0.1:18081)")
	return cmd
}

func newGateway(s Streams, p Programs) *cobra.Command {
	var f setupFlags
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Run a gateway of a control plane that runs apart",
		Long: `Run a gateway of a control plane that runs apart.

It has to have joined: sluice gateway invite prints a token where the control
plane is administered, and sluice gateway join uses it here. What the control
plane gives is kept in the data directory: while it is away, the gateway serves
that, after a restart too. Secrets that documents of clusters refer to are read
here, and again on SIGHUP. SIGTERM and SIGINT let requests in flight end.`,
		Example: "  sluice gateway --config sluice.yaml\n  sluice gateway --listen 127.0.0.1:19092 --data-dir gateway-data",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q", cmd.CommandPath()+" "+args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			setup, err := f.load(s)
			if err != nil {
				return err
			}
			return p.Gateway(cmd.Context(), setup)
		},
	}
	f.common(cmd)
	addressFlags(cmd, &f.listen, &f.brokerPorts, &f.operations)
	cmd.Flags().StringVar(&f.control, "control", "", "host:port of the control plane (default where it was joined)")
	cmd.AddCommand(newGatewayInvite(s), newGatewayJoin(s, p))
	return cmd
}

func newGatewayInvite(s Streams) *cobra.Command {
	var server serverFlags
	var o client.Options
	cmd := &cobra.Command{
		Use: "invite NAME", Short: "Make a token with which a gateway joins, once, within a day",
		Long: `Make a token with which a gateway joins, once, within a day. There has to be a
document of kind Gateway with its name; whatever has joined as it before is sent
away when the token is used.`,
		Example: "  sluice gateway invite gw-1", Args: exactly(1, "the name of a gateway"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			j, err := c.InviteGateway(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			if server.output == formatJSON {
				return writeJSON(s.Out, j)
			}
			if o.DryRun {
				_, err = fmt.Fprintf(s.Out, "Gateway %s could be invited (nothing was changed)\n", j.Gateway)
				return err
			}
			fmt.Fprintf(s.Err, "works once, until %s, where the gateway is to run:\n  sluice gateway join --control %s --token-file FILE\n", j.Expires.Format(time.RFC3339), j.Control)
			_, err = fmt.Fprintln(s.Out, j.Token)
			return err
		},
	}
	server.add(cmd, formatTable, formatJSON)
	cmd.Flags().StringVar(&o.Reason, "reason", "", "for the audit log")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "say whether it could be, and change nothing")
	return cmd
}

func newGatewayJoin(s Streams, p Programs) *cobra.Command {
	var f setupFlags
	var token, file string
	cmd := &cobra.Command{
		Use: "join", Short: "Make this machine a gateway of a control plane, with a token of sluice gateway invite",
		Example: "  sluice gateway join --control control.example.com:18081 --token-file token", Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case (token == "") == (file == ""):
				return usagef("give the token with --token-file, or with --token")
			case file != "":
				text, err := config.ReadSecret(config.SecretRef{File: file})
				if err != nil {
					return err
				}
				token = strings.TrimSpace(text)
			}
			setup, err := f.load(s)
			if err != nil {
				return err
			}
			if setup.Config.Feed.Control == "" {
				return usagef("--control is missing: host:port of the control plane, which sluice gateway invite says")
			}
			name, environment, err := p.Join(cmd.Context(), setup, setup.Config.Feed.Control, token)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.Out, "this is gateway %s of environment %s now\n", name, environment)
			return err
		},
	}
	f.common(cmd)
	cmd.Flags().StringVar(&f.control, "control", "", "host:port of the control plane")
	cmd.Flags().StringVar(&file, "token-file", "", "file with the token")
	cmd.Flags().StringVar(&token, "token", "", "the token; others on this machine may see it")
	return cmd
}

// listGateways writes gateways as a table.
func listGateways(s Streams, all []schema.Document) error {
	rows := [][]string{{"NAME", "ENVIRONMENT", "STANDING", "IN FORCE", "NEWEST", "HEARD"}}
	for _, d := range all {
		m, err := metadataOf(d)
		if err != nil {
			return err
		}
		row := []string{m.Name, dash(m.Environment), "-", "-", "-", "-"}
		if d.Status != nil && d.Status.Gateway != nil {
			g := d.Status.Gateway
			row[2], row[3], row[4] = standingWord(g), dash(g.InForce), dash(g.Current)
			if g.Heard != nil {
				row[5] = g.Heard.UTC().Format(time.RFC3339)
			}
		}
		rows = append(rows, row)
	}
	return table(s.Out, rows)
}

func standingWord(g *schema.Standing) string {
	switch {
	case g.Joined == nil:
		return "has not joined"
	case !g.Connected:
		return "away"
	case g.Refused != "":
		return "refuses the newest"
	case g.Behind:
		return "behind"
	case len(g.Clusters) > 0:
		return "without a cluster"
	}
	return "here"
}
