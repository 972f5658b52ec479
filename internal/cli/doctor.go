package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

func newDoctor(s Streams, p Programs) *cobra.Command {
	var f setupFlags
	var server serverFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what is wrong with a set-up, in words",
		Long: `Look at addresses, certificates, the control plane's store, resource documents and
target clusters (reachability, TLS, login, topics, rights) and tell in words what is
wrong and what to do. Nothing is changed. The exit code is 3 when something is wrong.

Where documents are in a control plane that runs, it is asked for its target clusters,
which are reached from here, and for the gateways that have joined; who asks has to be
a platform-admin (sluice login).`,
		Example: "  sluice doctor --config sluice.yaml -f resources/\n  sluice doctor --server https://sluice.example.com",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			setup, err := f.load(s)
			if err != nil {
				return err
			}
			named := server.server != "" || server.tokenFile != ""
			c, err := server.client(tableOrJSON...)
			if err != nil {
				return err
			}
			e := &examination{s: s, style: styleOf(s.Out), json: server.output == formatJSON, all: []finding{}}
			p.Doctor(cmd.Context(), setup, e.found)
			if named || len(setup.Resources) == 0 && len(setup.Config.Resources) == 0 {
				e.controlPlane(cmd.Context(), c, named, func(d *resource.Cluster, topics []string) {
					p.DoctorCluster(cmd.Context(), setup, d, topics, e.found)
				})
			}
			if cmd.Context().Err() != nil {
				return errors.New("interrupted")
			}
			return e.end()
		},
	}
	f.add(cmd)
	server.add(cmd, tableOrJSON...)
	return cmd
}

// finding is a Finding in JSON.
type finding struct {
	Area    string `json:"area"`
	OK      bool   `json:"ok"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// examination writes what is found, or collects it.
type examination struct {
	s     Streams
	style style
	json  bool
	all   []finding
	area  string
	bad   int
}

func (e *examination) found(f Finding) {
	if !f.OK {
		e.bad++
	}
	if e.json {
		e.all = append(e.all, finding(f))
		return
	}
	if f.Area != e.area {
		if e.area != "" {
			fmt.Fprintln(e.s.Out)
		}
		e.area = f.Area
		fmt.Fprintln(e.s.Out, e.style.bold(e.area))
	}
	writeFinding(e.s.Out, e.style, f)
}

func (e *examination) end() error {
	if e.json {
		if err := writeJSON(e.s.Out, e.all); err != nil {
			return err
		}
	}
	switch {
	case e.bad > 0 && !e.json:
		fmt.Fprintf(e.s.Out, "\n%s to repair\n", counted(e.bad, "thing"))
	case !e.json:
		fmt.Fprintln(e.s.Out, "\nall is well")
	}
	if e.bad > 0 {
		return errFindings
	}
	return nil
}

const controlPlaneArea = "control plane"

// controlPlane looks at what a control plane that runs knows. One that nobody named may be
// stopped.
func (e *examination) controlPlane(ctx context.Context, c *client.Client, named bool, cluster func(*resource.Cluster, []string)) {
	say := func(ok bool, fix, format string, args ...any) {
		e.found(Finding{Area: controlPlaneArea, OK: ok, Message: fmt.Sprintf(format, args...), Fix: fix})
	}
	me, err := c.Me(ctx)
	var problem *schema.Problem
	switch {
	case errors.As(err, &problem):
		say(false, "", "%s: %v", c.Server(), err)
		return
	case err != nil:
		say(!named, "start it, or name another with --server: its target clusters and gateways are not looked at", "%v", err)
		return
	case !me.PlatformAdmin:
		say(!named, "log in as a platform-admin, by sluice login: its target clusters and gateways are not looked at", "%s answers, and is asked by %s", c.Server(), me.Actor)
		return
	}
	say(true, "", "%s answers", c.Server())
	everything := url.Values{"limit": {"1000"}}
	topics := map[string][]string{}
	err = c.List(ctx, resource.KindVersion.Plural(), everything, func(d schema.Document) error {
		document, err := documentOf(d)
		if v, ok := document.(*resource.Version); ok && slices.Contains([]string{"preview", "published", "deprecated"}, v.Spec.Lifecycle.State) {
			for _, environments := range v.Spec.Channels {
				for _, at := range environments {
					if !slices.Contains(topics[at.Cluster], at.Topic) {
						topics[at.Cluster] = append(topics[at.Cluster], at.Topic)
					}
				}
			}
		}
		return err
	})
	if err == nil {
		err = c.List(ctx, resource.KindCluster.Plural(), everything, func(d schema.Document) error {
			document, err := documentOf(d)
			if one, ok := document.(*resource.Cluster); ok {
				cluster(one, topics[one.Name()])
			}
			return err
		})
	}
	if err == nil {
		err = c.List(ctx, resource.KindGateway.Plural(), everything, func(d schema.Document) error {
			m, err := metadataOf(d)
			if err == nil && d.Status != nil && d.Status.Gateway != nil {
				e.gateway(m.Name, d.Status.Gateway)
			}
			return err
		})
	}
	if err != nil {
		say(false, "", "%v", err)
	}
}

// documentOf is a document of an answer, as files hold it.
func documentOf(d schema.Document) (resource.Any, error) {
	d.Status = nil
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	document, err := resource.Unmarshal(b)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return document, nil
}

// gateway says how a gateway that runs apart stands.
func (e *examination) gateway(name string, g *schema.Standing) {
	say := func(ok bool, fix, format string, args ...any) {
		e.found(Finding{Area: "gateway " + name, OK: ok, Message: fmt.Sprintf(format, args...), Fix: fix})
	}
	heard := "not heard of yet"
	if g.Heard != nil {
		heard = "last heard of at " + g.Heard.UTC().Format(time.RFC3339)
	}
	state := fmt.Sprintf("state %s is in force, the newest is %s", dash(g.InForce), dash(g.Current))
	switch {
	case g.Joined == nil:
		say(true, "sluice gateway invite "+name+" prints a token to join with", "it has not joined")
		return
	case !g.Connected:
		say(false, "see whether it runs, its log, and whether it reaches the control plane; it serves what it has", "it is away, %s; %s", heard, state)
	case g.Refused != "":
		say(false, "see the gateway's log", "it refuses the newest state: %s; %s", g.Refused, state)
	case g.Behind:
		say(false, "ask again in some seconds; if it stays behind, see the gateway's log", "it is behind, %s; %s", heard, state)
	default:
		say(true, "", "it is here, %s; %s", heard, state)
	}
	for _, cluster := range slices.Sorted(maps.Keys(g.Clusters)) {
		say(false, "repair it where the gateway runs", "it cannot use target cluster %s: %s", cluster, g.Clusters[cluster])
	}
	if g.Withheld > 0 {
		say(false, "let it reach the control plane again", "%s withheld, since it was without word from the control plane for longer than maxStaleness", counted(g.Withheld, "topic"))
	}
}
