package cli

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/httpapi/schema"
)

func newCatalog(s Streams) *cobra.Command {
	var server serverFlags
	var words, version, environment string
	facets := map[string]*[]string{}
	cmd := &cobra.Command{
		Use: "catalog [API]", Short: "Show what APIs there are, or what one of them offers",
		Long:    "Show what APIs there are, or what one of them offers.\n\nIt is what the portal shows: topics to read and write, plans, and how a version stands. Retired versions\nare listed with --state retired.",
		Example: "  sluice catalog --domain commerce --can read\n  sluice catalog orders --environment prod",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("name one API, or none for the list")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			query := url.Values{}
			if environment != "" {
				query.Set("environment", environment)
			}
			if len(args) == 1 {
				if version != "" {
					query.Set("version", version)
				}
				page, err := c.CatalogAPI(cmd.Context(), args[0], query)
				if err != nil || server.output == formatJSON {
					return orJSON(s.Out, page, err)
				}
				return tellAPI(s, page)
			}
			for name, values := range facets {
				query[name] = *values
			}
			if words != "" {
				query.Set("q", words)
			}
			all := schema.Catalog{Items: []schema.CatalogCard{}}
			for query.Set("limit", "100"); ; query.Set("after", all.Next) {
				part, err := c.Catalog(cmd.Context(), query)
				if err != nil {
					return err
				}
				part.Items = append(all.Items, part.Items...)
				if all = *part; all.Next == "" {
					break
				}
			}
			if server.output == formatJSON {
				return writeJSON(s.Out, all)
			}
			if len(all.Items) == 0 {
				fmt.Fprintln(s.Err, "there is nothing of this that you may see")
				return nil
			}
			rows := [][]string{{"VERSION", "TITLE", "STATE", "MAY", "FORMATS", "TOPICS", "TEAM", "IN"}}
			for _, card := range all.Items {
				rows = append(rows, []string{card.Version, card.Title, card.State, may(card.Read, card.Write), dash(strings.Join(card.Formats, ", ")), strconv.Itoa(card.TopicCount), dash(card.Team), dash(strings.Join(card.Environments, ", "))})
			}
			return table(s.Out, filled(rows))
		},
	}
	server.add(cmd, formatTable, formatJSON)
	flags := cmd.Flags()
	for name, what := range map[string]string{"can": "what may be done with a topic of it, read or write", "domain": "of this domain", "state": "in this state", "format": "described so, as Avro", "team": "owned by this team", "tag": "with this tag"} {
		facets[name] = flags.StringArray(name, nil, what+"; may be repeated")
	}
	flags.StringVar(&environment, "environment", "", "as it is offered there")
	flags.StringVar(&words, "search", "", "in which this is found")
	flags.StringVar(&version, "version", "", "this version of the API, as v2")
	return cmd
}

// orJSON writes an answer, unless there is none.
func orJSON(out io.Writer, answer any, err error) error {
	if err != nil {
		return err
	}
	return writeJSON(out, answer)
}

// may says what one may do.
func may(read, write bool) string {
	switch {
	case read && write:
		return "read and write"
	case read:
		return "read"
	case write:
		return "write"
	}
	return "-"
}

// tellAPI writes the page of an API.
func tellAPI(s Streams, page *schema.APIPage) error {
	fmt.Fprintf(s.Out, "%s, of team %s\n", readableText(page.Title), page.Team)
	if page.Summary != "" {
		fmt.Fprintln(s.Out, readableText(page.Summary))
	}
	c := page.Chosen
	if c == nil {
		fmt.Fprintln(s.Err, "it has no version that you may see")
		return nil
	}
	line := c.Version + " is " + c.State
	if c.Environment != "" {
		line += ", here as offered in " + c.Environment
	}
	if b := c.Banner; b != nil && b.Sunset != nil {
		line += ", until " + b.Sunset.UTC().Format(time.DateOnly)
	}
	if b := c.Banner; b != nil && b.Successor != "" {
		line += ", followed by " + b.Successor
	}
	fmt.Fprintf(s.Out, "%s\n\n", readableText(line))
	rows := [][]string{{"TOPIC", "MAY", "KEY", "PARTITIONS", "KEPT"}}
	writable := map[string]bool{}
	for _, ch := range c.Write {
		writable[ch.Topic] = true
	}
	add := func(ch schema.APIChannel, can string) {
		partitions := "-"
		if ch.Partitions != nil {
			partitions = strconv.Itoa(*ch.Partitions)
		}
		rows = append(rows, []string{ch.Topic, can, dash(ch.Key), partitions, dash(ch.Retention)})
	}
	for _, ch := range c.Read {
		add(ch, may(true, writable[ch.Topic]))
		delete(writable, ch.Topic)
	}
	for _, ch := range c.Write {
		if writable[ch.Topic] {
			add(ch, may(false, true))
		}
	}
	if len(rows) > 1 {
		if err := table(s.Out, filled(rows)); err != nil {
			return err
		}
		fmt.Fprintln(s.Out)
	}
	rows = [][]string{{"PRODUCT", "PLAN", "APPROVAL", "LOGIN", "READ", "WRITE"}}
	for _, p := range c.Plans {
		rows = append(rows, []string{p.Product, p.Plan, p.Approval, strings.Join(p.Auth, ", "), dash(strings.Join(p.Read, ", ")), dash(strings.Join(p.Write, ", "))})
	}
	if len(rows) == 1 {
		fmt.Fprintln(s.Err, "no product that you may see has it: nobody can subscribe")
		return nil
	}
	return table(s.Out, rows)
}

func newSearch(s Streams) *cobra.Command {
	var server serverFlags
	cmd := &cobra.Command{
		Use: "search WORDS...", Short: "Search APIs, topics, fields, guides and applications",
		Long:    "Search APIs, topics, fields, guides and applications, and refused requests by their id. All words have to\nbe found; the beginning of one is enough.",
		Example: "  sluice search customerId\n  sluice search orders late",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("say what to search for, as in: sluice search customerId")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formatTable, formatJSON)
			if err != nil {
				return err
			}
			found, err := c.Search(cmd.Context(), strings.Join(args, " "))
			if err != nil || server.output == formatJSON {
				return orJSON(s.Out, found, err)
			}
			if len(found.Groups) == 0 {
				fmt.Fprintln(s.Err, "nothing is found that you may see")
				return nil
			}
			rows := [][]string{{"WHAT", "FOUND", "ABOUT", "IN"}}
			for _, g := range found.Groups {
				for _, h := range g.Items {
					rows = append(rows, []string{strings.TrimSuffix(g.Name, "s"), textOf(h.Title), dash(textOf(h.About)), dash(h.Version)})
				}
				if more := g.Total - len(g.Items); more > 0 {
					fmt.Fprintf(s.Err, "%d more %s: use more words, or -o json and sluice catalog --search\n", more, g.Name)
				}
			}
			return table(s.Out, rows)
		},
	}
	server.add(cmd, formatTable, formatJSON)
	return cmd
}

func textOf(parts []schema.TextPart) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String()
}
