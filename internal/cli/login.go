package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
)

// saved is what a login leaves for the commands after it, readable by its owner only.
type saved struct {
	Server  string    `json:"server"`
	CA      string    `json:"ca,omitempty"`
	Token   string    `json:"token"`
	Person  string    `json:"person"`
	Expires time.Time `json:"expires"`
}

// savedFile is where it is; another file is for tests, and for several servers.
func savedFile(other string) (string, error) {
	if other != "" {
		return other, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the directory for configuration: %w: name a file with --login-file", err)
	}
	return filepath.Join(dir, "sluice", "login.json"), nil
}

// readSaved returns what the last login left, and nothing when there is none.
func readSaved(file string) (saved, error) {
	var s saved
	name, err := savedFile(file)
	if err != nil {
		return s, nil // nothing can have been left
	}
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	} else if err != nil {
		return s, fmt.Errorf("read the login: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("read the login in %s: %w: log in again", name, err)
	}
	return s, nil
}

func (s saved) write(file string) (string, error) {
	name, err := savedFile(file)
	if err != nil {
		return "", err
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return "", fmt.Errorf("keep the login: %w", err)
	}
	next := name + ".new"
	if err := os.WriteFile(next, append(b, '\n'), 0o600); err != nil {
		return "", fmt.Errorf("keep the login: %w", err)
	}
	if err := os.Rename(next, name); err != nil {
		return "", fmt.Errorf("keep the login: %w", err)
	}
	return name, nil
}

func newLogin(s Streams) *cobra.Command {
	var server serverFlags
	var login, passwordFile, code, firstAdmin, provider string
	var oidc bool
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Log in at a management API, for the commands that follow",
		Long: `Log in at a management API, for the commands that follow.

The password is asked for, or read from --password-file. With the token that the
first start of "sluice serve" prints, --first-admin makes the account of the first
platform-admin. With --oidc, an identity provider says who you are, in a browser on
this machine. Programs use an API token instead: SLUICE_TOKEN or --token-file.`,
		Example: "  sluice login --server https://sluice.example.com --login ada\n  sluice login --server https://sluice.example.com --oidc",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			server.fresh = true
			c, err := server.client(tableOrJSON...)
			if err != nil {
				return err
			}
			var l *schema.Login
			if oidc || provider != "" {
				l, err = logInByBrowser(cmd.Context(), s, c, provider)
			} else {
				l, err = logInByPassword(cmd.Context(), s, c, login, passwordFile, code, firstAdmin)
			}
			if err != nil {
				return err
			}
			file, err := saved{Server: server.server, CA: server.ca, Token: l.Token, Person: l.Person, Expires: l.Expires}.write(server.loginFile)
			if err != nil {
				return err
			}
			if server.output == formatJSON { // without the token, which is in the file
				return writeJSON(s.Out, struct {
					Server     string    `json:"server"`
					Person     string    `json:"person"`
					Expires    time.Time `json:"expires"`
					File       string    `json:"file"`
					FirstAdmin bool      `json:"firstAdmin,omitempty"`
				}{c.Server(), l.Person, l.Expires, file, firstAdmin != ""})
			}
			if firstAdmin != "" {
				fmt.Fprintf(s.Out, "%s is the first platform-admin\n", l.Person)
			}
			_, err = fmt.Fprintf(s.Out, "logged in as %s until %s; kept in %s\n", l.Person, l.Expires.Local().Format("15:04"), file)
			return err
		},
	}
	server.add(cmd, tableOrJSON...)
	flags := cmd.Flags()
	flags.StringVar(&login, "login", "", "login name")
	flags.StringVar(&passwordFile, "password-file", "", "file with the password")
	flags.StringVar(&code, "code", "", "code of the second factor")
	flags.BoolVar(&oidc, "oidc", false, "log in through an identity provider, in a browser")
	flags.StringVar(&provider, "provider", "", "its name, where there are several; implies --oidc")
	flags.StringVar(&firstAdmin, "first-admin", "", "token of the first start, to become the first platform-admin")
	return cmd
}

// logInByPassword logs somebody in by their password, and makes the first platform-admin
// of them with the token of the first start.
func logInByPassword(ctx context.Context, s Streams, c *client.Client, login, passwordFile, code, firstAdmin string) (*schema.Login, error) {
	var err error
	in := bufio.NewReader(s.In)
	if login == "" {
		if login, err = ask(s, in, "Login: "); err != nil {
			return nil, err
		}
	}
	password, err := passwordOf(s, in, passwordFile, "Password: ")
	if err != nil {
		return nil, err
	}
	if firstAdmin != "" {
		if err := c.Claim(ctx, schema.Claim{Token: firstAdmin, Login: login, Password: password}); err != nil {
			return nil, err
		}
	}
	in2 := schema.Credentials{Login: login, Password: password, Code: code}
	l, err := c.LogIn(ctx, in2)
	if client.CodeNeeded(err) {
		if in2.Code, err = ask(s, in, "Code: "); err != nil {
			return nil, err
		}
		l, err = c.LogIn(ctx, in2)
	}
	return l, err
}

// ask asks for a line.
func ask(s Streams, in *bufio.Reader, question string) (string, error) {
	fmt.Fprint(s.Err, question)
	line, err := in.ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", fmt.Errorf("%sno answer: %w", strings.ToLower(question), err)
	}
	return line, nil
}

// askSecret asks for a line that a terminal does not show.
func askSecret(s Streams, in *bufio.Reader, question string) (string, error) {
	file, ok := s.In.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return ask(s, in, question)
	}
	fmt.Fprint(s.Err, question)
	b, err := term.ReadPassword(int(file.Fd()))
	fmt.Fprintln(s.Err)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(b), nil
}

func newLogout(s Streams) *cobra.Command {
	var server serverFlags
	cmd := &cobra.Command{
		Use: "logout", Short: "End the login that commands use", Example: "  sluice logout", Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := server.client(tableOrJSON...)
			if err != nil {
				return err
			}
			if err := c.LogOut(cmd.Context()); err != nil {
				return err
			}
			left, err := readSaved(server.loginFile)
			if err != nil {
				return err
			}
			if left.Token != "" { // the next login is at the same server
				if _, err := (saved{Server: left.Server, CA: left.CA}).write(server.loginFile); err != nil {
					return err
				}
			}
			return server.done(s, c, "logged out", "loggedOut")
		},
	}
	server.add(cmd, tableOrJSON...)
	return cmd
}

func newToken(s Streams) *cobra.Command {
	var server serverFlags
	var body schema.NewToken
	var roles []string
	cmd := &cobra.Command{
		Use: "token NAME", Short: "Make an API token of one's own, for programs",
		Long:    "Make an API token of one's own, for programs.\n\nIt passes on what --role and --platform say of one's own roles, whenever it is used,\nand is printed this once.",
		Example: "  sluice token ci-shop --role publisher@acme/shop --life 720h",
		Args:    exactly(1, "a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			body.Name = args[0]
			for _, r := range roles {
				role, of, ok := strings.Cut(r, "@")
				organisation, team, _ := strings.Cut(of, "/")
				if !ok || role == "" || organisation == "" {
					return usagef("--role %q: write it as publisher@organisation/team, or org-admin@organisation", r)
				}
				body.Roles = append(body.Roles, schema.MyRole{Role: role, Organisation: organisation, Team: team})
			}
			t, err := c.NewToken(cmd.Context(), body)
			if err != nil {
				return err
			}
			if server.output == formatJSON {
				return writeJSON(s.Out, t)
			}
			fmt.Fprintf(s.Err, "%s works until %s; it is shown this once:\n", t.ID, t.Expires.UTC().Format(time.RFC3339))
			_, err = fmt.Fprintln(s.Out, t.Token)
			return err
		},
	}
	server.add(cmd, formatTable, formatJSON)
	flags := cmd.Flags()
	flags.StringArrayVar(&roles, "role", nil, "role that it passes on, as publisher@organisation/team; may be repeated")
	flags.BoolVar(&body.Platform, "platform", false, "pass on platform-admin")
	flags.BoolVar(&body.ReadOnly, "read-only", false, "for reading only")
	flags.StringVar(&body.Life, "life", "", "how long it works, as 720h (default and at most 90 days)")
	return cmd
}

func newInvite(s Streams) *cobra.Command {
	var server serverFlags
	var body schema.Person
	cmd := &cobra.Command{
		Use: "invite LOGIN", Short: "Make an account for somebody",
		Long:    "Make an account for somebody.\n\nWho gets the token that is printed sets a password with it:\n  sluice password --token TOKEN",
		Example: "  sluice invite ben --title 'Ben of Shop'",
		Args:    exactly(1, "a login name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			body.Login = args[0]
			i, err := c.Invite(cmd.Context(), body)
			if err != nil {
				return err
			}
			return tellInvitation(s, c, i, server.output)
		},
	}
	server.add(cmd, formatTable, formatJSON)
	cmd.Flags().StringVar(&body.Title, "title", "", "for people")
	cmd.Flags().StringVar(&body.Email, "email", "", "for people; it grants nothing")
	return cmd
}

func newPassword(s Streams) *cobra.Command {
	var server serverFlags
	var token, passwordFile, oldFile, code string
	cmd := &cobra.Command{
		Use: "password", Short: "Change one's own password, or set one with the token of an invitation",
		Long: `Change one's own password, or set one with the token of an invitation, or of
"sluice people reset-password". All other logins end; API tokens go on.`,
		Example: "  sluice password\n  sluice password --server https://sluice.example.com --token TOKEN",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			server.fresh = token != ""
			c, err := server.client(tableOrJSON...)
			if err != nil {
				return err
			}
			in := bufio.NewReader(s.In)
			old := ""
			if token == "" {
				if old, err = passwordOf(s, in, oldFile, "Old password: "); err != nil {
					return err
				}
			}
			password, err := passwordOf(s, in, passwordFile, "New password: ")
			if err != nil {
				return err
			}
			if token != "" {
				if err := c.SetPassword(cmd.Context(), schema.NewPassword{Token: token, Password: password}); err != nil {
					return err
				}
				return server.done(s, c, "the password is set: log in with it, by sluice login --server "+c.Server(), "set")
			}
			body := schema.ChangedPassword{Old: old, Code: code, Password: password}
			err = c.ChangePassword(cmd.Context(), body)
			if client.CodeNeeded(err) {
				if body.Code, err = ask(s, in, "Code: "); err != nil {
					return err
				}
				err = c.ChangePassword(cmd.Context(), body)
			}
			if err != nil {
				return err
			}
			return server.done(s, c, "the password is changed; all other logins have ended", "changed")
		},
	}
	server.add(cmd, tableOrJSON...)
	flags := cmd.Flags()
	flags.StringVar(&token, "token", "", "token of the invitation")
	flags.StringVar(&passwordFile, "password-file", "", "file with the new password")
	flags.StringVar(&oldFile, "old-password-file", "", "file with the old password")
	flags.StringVar(&code, "code", "", "code of the second factor")
	return cmd
}
