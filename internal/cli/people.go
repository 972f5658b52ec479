package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/config"
	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
)

// group is a command that only has others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q", cmd.CommandPath()+" "+args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// asking is a command that asks the management API. do is told who asks, and with which
// flags.
func asking(s Streams, cmd *cobra.Command, formats []string, do func(ctx context.Context, c *client.Client, args []string, output string) error) *cobra.Command {
	var server serverFlags
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := server.client(formats...)
		if err != nil {
			return err
		}
		return do(cmd.Context(), c, args, server.output)
	}
	server.add(cmd, formats...)
	return cmd
}

var (
	onlyTable   = []string{formatTable}
	tableOrJSON = []string{formatTable, formatJSON}
)

// newPeople has the commands about accounts of others.
func newPeople(s Streams) *cobra.Command {
	one := exactly(1, "a login name")
	simple := func(use, short, done string, do func(*client.Client, context.Context, string) error) *cobra.Command {
		return asking(s, &cobra.Command{Use: use + " LOGIN", Short: short, Args: one, Example: "  sluice people " + use + " ben"}, onlyTable,
			func(ctx context.Context, c *client.Client, args []string, _ string) error {
				if err := do(c, ctx, args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(s.Out, "%s %s\n", args[0], done)
				return err
			})
	}
	return group("people", "Accounts of people",
		asking(s, &cobra.Command{Use: "list", Short: "List all accounts", Args: exactly(0, ""), Example: "  sluice people list"}, tableOrJSON,
			func(ctx context.Context, c *client.Client, _ []string, output string) error {
				all := []schema.Account{}
				if err := c.People(ctx, func(a schema.Account) error { all = append(all, a); return nil }); err != nil {
					return err
				}
				if output == formatJSON {
					return writeJSON(s.Out, all)
				}
				rows := [][]string{{"LOGIN", "STATE", "LOGS IN BY", "ROLES"}}
				for _, a := range all {
					rows = append(rows, []string{a.Login, stateOf(a), proofOf(a), dash(strings.Join(rolesOf(a), ", "))})
				}
				return table(s.Out, rows)
			}),
		asking(s, &cobra.Command{Use: "show LOGIN", Short: "Show an account", Args: one, Example: "  sluice people show ben"}, tableOrJSON,
			func(ctx context.Context, c *client.Client, args []string, output string) error {
				a, err := c.Account(ctx, args[0])
				if err != nil {
					return err
				}
				if output == formatJSON {
					return writeJSON(s.Out, a)
				}
				rows := [][]string{{"login", a.Login}, {"title", dash(a.Title)}, {"e-mail", dash(a.Email)}, {"state", stateOf(*a)}, {"logs in by", proofOf(*a)}}
				if a.Provider != "" {
					rows = append(rows, []string{"groups", dash(strings.Join(a.Groups, ", "))})
				}
				for _, r := range rolesOf(*a) {
					rows = append(rows, []string{"role", r})
				}
				return table(s.Out, rows)
			}),
		simple("disable", "Keep somebody out: logins end, API tokens do not work", "is disabled", (*client.Client).Disable),
		simple("enable", "Let somebody in again who was disabled", "is enabled", (*client.Client).Enable),
		simple("remove", "Remove an account, with its logins and API tokens", "is removed", (*client.Client).RemoveAccount),
		simple("clear-second-factor", "Remove the second factor of somebody who lost it", "has no second factor now, and has to log in again", (*client.Client).ClearSecondFactor),
		simple("make-admin", "Make somebody a platform-admin", "is a platform-admin", func(c *client.Client, ctx context.Context, login string) error {
			return c.SetPlatformAdmin(ctx, login, true)
		}),
		simple("make-no-admin", "Make somebody a platform-admin no more; never the last one", "is a platform-admin no more", func(c *client.Client, ctx context.Context, login string) error {
			return c.SetPlatformAdmin(ctx, login, false)
		}),
		asking(s, &cobra.Command{Use: "reset-password LOGIN", Short: "Make a token with which somebody sets a new password", Args: one, Example: "  sluice people reset-password ben",
			Long: "Make a token with which somebody sets a new password, once:\n  sluice password --token TOKEN\n\nThe old password works until then."}, tableOrJSON,
			func(ctx context.Context, c *client.Client, args []string, output string) error {
				i, err := c.ResetPassword(ctx, args[0])
				if err != nil {
					return err
				}
				return tellInvitation(s, c, i, output)
			}),
		asking(s, &cobra.Command{Use: "logins LOGIN", Short: "List the logins of somebody", Args: one, Example: "  sluice people logins ben"}, tableOrJSON, listLogins(s)),
		simple("end-logins", "End all logins of somebody", "is logged out everywhere", (*client.Client).EndLogins),
		asking(s, &cobra.Command{Use: "tokens LOGIN", Short: "List the API tokens of somebody", Args: one, Example: "  sluice people tokens ben"}, tableOrJSON, listTokens(s)),
		asking(s, &cobra.Command{Use: "revoke-token LOGIN ID", Short: "Revoke an API token of somebody", Args: exactly(2, "a login name and the id of a token"), Example: "  sluice people revoke-token ben 0FZmtGyN9xa"}, onlyTable,
			func(ctx context.Context, c *client.Client, args []string, _ string) error {
				return c.RevokeToken(ctx, args[0], args[1])
			}),
	)
}

func stateOf(a schema.Account) string {
	switch {
	case a.Disabled:
		return "disabled"
	case a.Provider == "" && !a.HasPassword:
		return "invited"
	}
	return "active"
}

func proofOf(a schema.Account) string {
	switch {
	case a.Provider != "":
		return a.Provider
	case a.SecondFactor:
		return "password and code"
	case a.HasPassword:
		return "password"
	}
	return "-"
}

func rolesOf(a schema.Account) []string {
	var out []string
	if a.PlatformAdmin {
		out = append(out, "platform-admin")
	}
	for _, r := range a.Roles {
		of := r.Organisation
		if r.Team != "" {
			of += "/" + r.Team
		}
		out = append(out, r.Role+"@"+of)
	}
	return out
}

// listLogins lists those of the person that is named, or one's own.
func listLogins(s Streams) func(context.Context, *client.Client, []string, string) error {
	return func(ctx context.Context, c *client.Client, args []string, output string) error {
		logins, err := c.Logins(ctx, strings.Join(args, ""))
		if err != nil {
			return err
		}
		if output == formatJSON {
			return writeJSON(s.Out, logins)
		}
		rows := [][]string{{"ID", "SINCE", "LAST USED", "ENDS", "FROM", "BY", "AGENT"}}
		for _, l := range logins {
			agent := readable([]byte(l.Agent))
			if l.Current {
				agent += " (this one)"
			}
			rows = append(rows, []string{l.ID, second(l.Created), second(l.Seen), second(l.Expires), dash(l.Address), l.Method, strings.TrimSpace(agent)})
		}
		return table(s.Out, rows)
	}
}

// listTokens lists those of the person that is named, or one's own.
func listTokens(s Streams) func(context.Context, *client.Client, []string, string) error {
	return func(ctx context.Context, c *client.Client, args []string, output string) error {
		tokens, err := c.Tokens(ctx, strings.Join(args, ""))
		if err != nil {
			return err
		}
		if output == formatJSON {
			return writeJSON(s.Out, tokens)
		}
		rows := [][]string{{"ID", "NAME", "ENDS", "LAST USED", "PASSES ON"}}
		for _, t := range tokens {
			used := "-"
			if t.Used != nil {
				used = second(*t.Used)
			}
			on := rolesOf(schema.Account{PlatformAdmin: t.Platform, Roles: t.Roles})
			if t.ReadOnly {
				on = append(on, "reading only")
			}
			rows = append(rows, []string{t.ID, t.Name, second(t.Expires), used, strings.Join(on, ", ")})
		}
		return table(s.Out, rows)
	}
}

func second(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func tellInvitation(s Streams, c *client.Client, i *schema.Invitation, output string) error {
	if output == formatJSON {
		return writeJSON(s.Out, i)
	}
	fmt.Fprintf(s.Err, "with this token, %s sets a password until %s:\n  sluice password --server %s --token TOKEN\n", i.Login, second(i.Expires), c.Server())
	_, err := fmt.Fprintln(s.Out, i.Token)
	return err
}

// newLogins has the commands about one's own logins.
func newLogins(s Streams) *cobra.Command {
	return group("logins", "One's own logins: where one is logged in",
		asking(s, &cobra.Command{Use: "list", Short: "List one's own logins", Args: exactly(0, ""), Example: "  sluice logins list"}, tableOrJSON, listLogins(s)),
		asking(s, &cobra.Command{Use: "end ID", Short: "End a login of one's own", Args: exactly(1, "the id of a login"), Example: "  sluice logins end 8f14e45fceea167a"}, onlyTable,
			func(ctx context.Context, c *client.Client, args []string, _ string) error {
				return c.EndLogin(ctx, "", args[0])
			}),
		asking(s, &cobra.Command{Use: "end-others", Short: "End all logins of one's own but this one", Args: exactly(0, ""), Example: "  sluice logins end-others"}, onlyTable,
			func(ctx context.Context, c *client.Client, _ []string, _ string) error { return c.EndLogins(ctx, "") }),
	)
}

// newTokens has the commands about one's own API tokens, but for making one.
func newTokens(s Streams) *cobra.Command {
	return group("tokens", "One's own API tokens (sluice token makes one)",
		asking(s, &cobra.Command{Use: "list", Short: "List one's own API tokens", Args: exactly(0, ""), Example: "  sluice tokens list"}, tableOrJSON, listTokens(s)),
		asking(s, &cobra.Command{Use: "revoke ID", Short: "Revoke an API token of one's own", Args: exactly(1, "the id of a token"), Example: "  sluice tokens revoke 0FZmtGyN9xa"}, onlyTable,
			func(ctx context.Context, c *client.Client, args []string, _ string) error {
				return c.RevokeToken(ctx, "", args[0])
			}),
	)
}

// proof asks for what proves who is logged in once more.
type proof struct{ passwordFile, code string }

func (p *proof) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.passwordFile, "password-file", "", "file with the password")
	cmd.Flags().StringVar(&p.code, "code", "", "code of the second factor, or a recovery code")
}

// passwordOf returns what is in a file, or what somebody types.
func passwordOf(s Streams, in *bufio.Reader, file, question string) (string, error) {
	if file != "" {
		return config.ReadSecret(config.SecretRef{File: file})
	}
	return askSecret(s, in, question)
}

// with calls do with the proof, and asks for the code when it is needed.
func (p *proof) with(s Streams, in *bufio.Reader, do func(schema.Proof) error) error {
	password, err := passwordOf(s, in, p.passwordFile, "Password: ")
	if err != nil {
		return err
	}
	body := schema.Proof{Password: password, Code: p.code}
	err = do(body)
	if client.CodeNeeded(err) {
		if body.Code, err = ask(s, in, "Code: "); err != nil {
			return err
		}
		err = do(body)
	}
	return err
}

// newSecondFactor has the commands about one's own second factor.
func newSecondFactor(s Streams) *cobra.Command {
	var setUp, remove, renew proof
	tellCodes := func(codes []string) error {
		fmt.Fprintln(s.Err, "each of these recovery codes stands in for the authenticator once; they are shown this once:")
		_, err := fmt.Fprintln(s.Out, strings.Join(codes, "\n"))
		return err
	}
	first := asking(s, &cobra.Command{Use: "set-up", Short: "Make logins ask for the code of an authenticator besides", Args: exactly(0, ""), Example: "  sluice second-factor set-up",
		Long: "Make logins ask for the code of an authenticator besides (TOTP).\n\nThe key is for the authenticator; it counts once a code that the authenticator shows\nhas been typed here."}, onlyTable,
		func(ctx context.Context, c *client.Client, _ []string, _ string) error {
			in := bufio.NewReader(s.In)
			var key *schema.SecondFactor
			if err := setUp.with(s, in, func(p schema.Proof) (err error) {
				key, err = c.SetUpSecondFactor(ctx, p)
				return err
			}); err != nil {
				return err
			}
			fmt.Fprintf(s.Out, "%s\n%s\n", key.Key, key.URI)
			code, err := ask(s, in, "Code that the authenticator shows: ")
			if err != nil {
				return err
			}
			codes, err := c.ConfirmSecondFactor(ctx, code)
			if err != nil {
				return err
			}
			return tellCodes(codes)
		})
	setUp.add(first)
	second := asking(s, &cobra.Command{Use: "remove", Short: "Log in by password alone again", Args: exactly(0, ""), Example: "  sluice second-factor remove"}, onlyTable,
		func(ctx context.Context, c *client.Client, _ []string, _ string) error {
			return remove.with(s, bufio.NewReader(s.In), func(p schema.Proof) error { return c.RemoveSecondFactor(ctx, p) })
		})
	remove.add(second)
	third := asking(s, &cobra.Command{Use: "recovery-codes", Short: "Get new recovery codes; the old ones end", Args: exactly(0, ""), Example: "  sluice second-factor recovery-codes"}, onlyTable,
		func(ctx context.Context, c *client.Client, _ []string, _ string) error {
			var codes []string
			if err := renew.with(s, bufio.NewReader(s.In), func(p schema.Proof) (err error) {
				codes, err = c.RenewRecoveryCodes(ctx, p)
				return err
			}); err != nil {
				return err
			}
			return tellCodes(codes)
		})
	renew.add(third)
	return group("second-factor", "One's own second factor: an authenticator, and recovery codes", first, second, third)
}
