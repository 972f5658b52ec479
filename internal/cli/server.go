package cli

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sluice/internal/config"
	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

// serverFlags say which management API a command speaks to, and as whom.
type serverFlags struct {
	server, tokenFile, ca, loginFile string
	output                           string
	fresh                            bool // asks as nobody, whatever was saved
}

const (
	defaultServer = "http://127.0.0.1:18080"
	tokenVariable = "SLUICE_TOKEN"
)

// The values of -o of commands about documents.
const (
	formatTable = "table"
	formatYAML  = "yaml"
)

func (f *serverFlags) add(cmd *cobra.Command, formats ...string) {
	flags := cmd.Flags()
	flags.StringVar(&f.server, "server", "", "address of the management API (default that of the last login, else "+defaultServer+")")
	flags.StringVar(&f.loginFile, "login-file", "", "file that sluice login writes (default sluice/login.json among the user's configuration)")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with an API token (default: $"+tokenVariable+")")
	flags.StringVar(&f.ca, "ca", "", "file with PEM certificates of authorities for --server")
	flags.StringVarP(&f.output, "output", "o", formats[0], strings.Join(formats, ", "))
}

// client makes a client of what the flags say.
func (f *serverFlags) client(formats ...string) (*client.Client, error) {
	if !slices.Contains(formats, f.output) {
		return nil, usagef("-o %q is not one of %s", f.output, strings.Join(formats, ", "))
	}
	left, err := readSaved(f.loginFile)
	if err != nil {
		return nil, err
	}
	switch { // a token goes to the server that it is of
	case f.server == "" && left.Server != "":
		f.server, f.ca = left.Server, cmp.Or(f.ca, left.CA)
	case f.server == "":
		f.server = defaultServer
	}
	c := client.Config{Server: f.server}
	switch token, err := config.ReadSecret(config.SecretRef{Env: tokenVariable}); {
	case f.fresh:
	case f.tokenFile != "":
		if token, err = config.ReadSecret(config.SecretRef{File: f.tokenFile}); err != nil {
			return nil, err
		}
		c.Token, c.TokenFrom = strings.TrimSpace(token), "--token-file "+f.tokenFile
	case err == nil:
		c.Token, c.TokenFrom = strings.TrimSpace(token), tokenVariable
	case f.server == left.Server:
		c.Token = left.Token
	}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("read --ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca %s holds no PEM certificates", f.ca)
		}
		c.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return client.New(c)
}

// done says that something was done that has no answer; in JSON that field is true.
func (f *serverFlags) done(s Streams, c *client.Client, text, field string) error {
	if f.output == formatJSON {
		return writeJSON(s.Out, map[string]any{"server": c.Server(), field: true})
	}
	_, err := fmt.Fprintln(s.Out, text)
	return err
}

// documentFlags name documents in files.
type documentFlags struct {
	files  []string
	owner  string
	prune  bool
	reason string
	waive  string
	asIs   bool
}

// wanted is what is in files, as the server gets it.
type wanted struct {
	body schema.Apply
	at   map[resource.Key]resource.Any // as read, with their places
}

// read reads documents, and the secrets that they refer to.
func (f *documentFlags) read(s Streams) (*wanted, error) {
	if len(f.files) == 0 {
		return nil, usagef("-f is missing: name files or directories of documents, or - for the standard input")
	}
	set, problems := resource.ReadOpen(s.In, f.files...)
	for _, p := range problems {
		fmt.Fprintln(s.Err, p)
	}
	if resource.Bad(problems) {
		return nil, errTold
	}
	w := &wanted{body: schema.Apply{Owner: f.owner, Prune: f.prune, Reason: f.reason, Waive: f.waive, AsIs: f.asIs, Secrets: map[string]string{}}, at: map[resource.Key]resource.Any{}}
	bad := false
	for d := range set.All() {
		w.at[d.Key()] = d
		if c, ok := d.(*resource.Credential); ok && !c.Spec.Secret.IsZero() {
			secret, err := config.ReadSecret(c.Spec.Secret)
			if err != nil {
				fmt.Fprintln(s.Err, d.Problem("spec.secret", err.Error(), "set it, or correct the reference"))
				bad = true
				continue
			}
			w.body.Secrets[c.Name()] = secret
			c.Spec.Secret = resource.SecretRef{}
		}
		if v, ok := d.(*resource.Version); ok && v.Spec.Contract.AsyncAPI != "" {
			v.Spec.Contract.Channels = nil // the server takes them from it
		}
		b, err := resource.Marshal(d)
		if err != nil {
			return nil, err
		}
		w.body.Documents = append(w.body.Documents, b)
	}
	if bad {
		return nil, errTold
	}
	return w, nil
}

// tell writes what the server says against documents, with their places.
func (w *wanted) tell(s Streams, err error) error {
	var p *schema.Problem
	if !errors.As(err, &p) || len(p.Faults) == 0 {
		return err
	}
	for _, f := range p.Faults {
		problem := resource.Problem{Kind: resource.Kind(f.Kind), Name: f.Name, Path: f.Path, Message: f.Message, Fix: f.Fix}
		if d := w.at[resource.Key{Kind: problem.Kind, Name: f.Name}]; d != nil {
			problem = d.Problem(f.Path, f.Message, f.Fix)
		}
		fmt.Fprintln(s.Err, readableText(problem.String()))
	}
	return errTold
}

// table writes rows in columns. What is in them may be of others, and stays in its cell.
func table(out io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = readable([]byte(cell))
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), "\t "))
	}
	return w.Flush()
}

// readableText is a text of others, in lines, away from the terminal's controls.
func readableText(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = readable([]byte(line))
	}
	return strings.Join(lines, "\n")
}

func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// kindOf finds a kind by what people call it: Subscription, subscription or
// subscriptions.
func kindOf(word string) (resource.Kind, string, error) {
	names := map[string]resource.Kind{}
	for _, k := range resource.Kinds {
		names[k.Plural()] = k
		if k == resource.Kind(word) || strings.EqualFold(string(k), word) || strings.EqualFold(k.Plural(), word) {
			return k, k.Plural(), nil
		}
	}
	return "", "", usagef("%q is not a kind of document: there are %s", word, strings.Join(slices.Sorted(maps.Keys(names)), ", "))
}

// onlyKind refuses documents of other kinds than want; only says so.
func onlyKind(word string, want resource.Kind, only string) error {
	kind, _, err := kindOf(word)
	if err == nil && kind != want {
		err = usagef("%s, and no document of kind %s", only, kind)
	}
	return err
}

// upTo collects what a list yields, at most limit, and says whether there is more.
func upTo[T any](limit int, list func(func(T) bool) error) (all []T, more bool, err error) {
	all = []T{}
	err = list(func(one T) bool {
		if more = len(all) == limit; !more {
			all = append(all, one)
		}
		return !more
	})
	return all, more, err
}
