package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

// What logs asks for: gateways tell every two seconds, and more than a page is not kept
// of an application.
const (
	logsEvery = time.Second
	logsMost  = 1000
)

func newLogs(s Streams) *cobra.Command {
	var server serverFlags
	l := logs{streams: s}
	cmd := &cobra.Command{
		Use: "logs application NAME", Short: "Show what gateways refused an application lately, and why",
		Long: `Show what gateways refused an application lately, the newest last: when, its id,
what was wanted of what, what became of it and by which rule, and whose it was.
"sluice explain rejection ID" says more. With --follow it goes on until it is
interrupted. With -o json there is one object a line.

Who provides topics to the application sees what was refused of these, without
credential and address.`,
		Example: "  sluice logs application acme-erp --environment prod --follow", Args: exactly(2, "a kind and a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			if err := onlyKind(args[0], resource.KindApplication, "logs is for an application"); err != nil {
				return err
			}
			if l.limit < 1 || l.limit > logsMost {
				return usagef("--limit %d: it may be from 1 to %d", l.limit, logsMost)
			}
			l.client, l.application, l.json = c, args[1], server.output == formatJSON
			return quietly(cmd.Context(), l.run(cmd.Context()))
		},
	}
	server.add(cmd, formatTable, formatJSON)
	cmd.Flags().StringVar(&l.environment, "environment", "", "in this environment only")
	cmd.Flags().BoolVarP(&l.follow, "follow", "f", false, "go on with what is refused from now on")
	cmd.Flags().IntVar(&l.limit, "limit", 100, "how many of the past at most")
	return cmd
}

// logs is one call of the command.
type logs struct {
	streams     Streams
	client      *client.Client
	application string
	environment string
	follow      bool
	json        bool
	limit       int
}

func (l *logs) run(ctx context.Context) error {
	page, err := l.after(ctx, 0, l.limit)
	if err != nil {
		return err
	}
	if err := l.print(page); err != nil || !l.follow {
		if err == nil && len(page) == 0 {
			fmt.Fprintln(l.streams.Err, "nothing was refused lately that you may see")
		}
		return err
	}
	ticker := time.NewTicker(logsEvery)
	defer ticker.Stop()
	away := false
	for last := page; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		number := uint64(0)
		if len(last) > 0 {
			number = last[len(last)-1].Number
		}
		page, err := l.after(ctx, number, logsMost)
		var refused *schema.Problem
		switch {
		case err != nil && (ctx.Err() != nil || errors.As(err, &refused) && refused.Status < 500):
			return err
		case err != nil:
			if !away {
				away = true
				fmt.Fprintf(l.streams.Err, "sluice: %s: trying again\n", readableText(err.Error()))
			}
			continue
		}
		away = false
		// A control plane that was started again is told anew of what gateways have kept.
		news := slices.DeleteFunc(slices.Clone(page), func(r schema.Rejection) bool {
			return slices.ContainsFunc(last, func(o schema.Rejection) bool { return o.ID == r.ID })
		})
		if err := l.print(news); err != nil {
			return err
		}
		if last = append(last, page...); len(last) > logsMost {
			last = last[len(last)-logsMost:]
		}
	}
}

// after returns what was refused behind a number, the oldest first.
func (l *logs) after(ctx context.Context, number uint64, most int) ([]schema.Rejection, error) {
	query := url.Values{"limit": {strconv.Itoa(most)}}
	if l.environment != "" {
		query.Set("environment", l.environment)
	}
	if number > 0 {
		query.Set("after", strconv.FormatUint(number, 10))
	}
	page, err := l.client.Rejections(ctx, l.application, query)
	if err != nil {
		return nil, err
	}
	slices.Reverse(page.Items)
	return page.Items, nil
}

func (l *logs) print(rejections []schema.Rejection) error {
	for _, r := range rejections {
		if l.json {
			e := json.NewEncoder(l.streams.Out)
			e.SetEscapeHTML(false)
			if err := e.Encode(r); err != nil {
				return err
			}
			continue
		}
		whose := r.Environment
		if r.Credential != "" {
			whose += ", credential " + r.Credential
		}
		if r.Address != "" {
			whose += ", from " + r.Address
		}
		if _, err := fmt.Fprintf(l.streams.Out, "%s %s %s %s %s: %s: %s (%s, by gateway %s)\n", r.Time.UTC().Format("2006-01-02T15:04:05.000Z"), r.ID,
			readable([]byte(r.Operation)), readable([]byte(r.What)), strconv.Quote(r.Name), r.Verdict, readable([]byte(r.Rule)), readable([]byte(whose)), readable([]byte(r.Gateway))); err != nil {
			return err
		}
	}
	return nil
}
