package catalog

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sluice/internal/control/identity"
	"sluice/internal/httpapi/schema"
)

// Programs read the same as people do, as Markdown: the list, the page of an API, its
// reference and its guides. Addresses are those of people, with .md at the end.

// line1 is text of a provider on one line, in which nothing is a mark of Markdown that
// would change what is around it.
func line1(text string) string {
	return strings.NewReplacer("|", `\|`, "[", `\[`, "]", `\]`, "`", `\`+"`", "<", `\<`).Replace(strings.Join(strings.Fields(text), " "))
}

// Summaries returns the list as Markdown for programs, beginning with what this is
// (llmstxt.org).
func (c *Catalog) Summaries(ctx context.Context, actor identity.Actor, name string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n> APIs for Apache Kafka: each has topics to read or to write, a contract, and plans to subscribe to. Kafka clients use them by Kafka's own protocol, with the address and the credential that a subscription gives.\n\nWhat a page shows here is there as Markdown too, by its address with .md at the end. Everything is in the management API, which [/v1/openapi.json](/v1/openapi.json) describes: [/v1/catalog](/v1/catalog) is the list, /v1/search?q=WORDS the search.\n\n## APIs\n\n", line1(name))
	q := Query{Limit: 100}
	for count := 0; ; {
		part, err := c.List(ctx, actor, q)
		if err != nil {
			return "", err
		}
		for _, card := range part.Items {
			fmt.Fprintf(&b, "- [%s](%s.md?version=%s): %s, %s%s", line1(card.Title), AddressOf(card.API), card.Version, card.Version, card.State, maybe(", ", may(card.Read, card.Write)))
			if card.Summary != "" {
				fmt.Fprintf(&b, ". %s", line1(card.Summary))
			}
			b.WriteString("\n")
		}
		if count += len(part.Items); part.Next == "" || count >= maxSummaries {
			if part.Next != "" {
				b.WriteString("\nThere are more: ask /v1/catalog.\n")
			}
			return b.String(), nil
		}
		q.After = part.Next
	}
}

// maxSummaries bounds one answer.
const maxSummaries = 5000

func maybe(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

func may(read, write bool) string {
	switch {
	case read && write:
		return "to read and to write"
	case read:
		return "to read"
	case write:
		return "to write"
	}
	return ""
}

// Markdown returns the page of an API for programs.
func (c *Catalog) Markdown(ctx context.Context, actor identity.Actor, api, version, environment string) (string, error) {
	p, err := c.Page(ctx, actor, api, version, environment)
	if err != nil {
		return "", err
	}
	e, err := c.at(ctx).viewer(actor).find(api)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", line1(p.Title))
	if text := c.renderer.Plain(e.spec.Description); text != "" {
		fmt.Fprintf(&b, "%s\n\n", line1(text))
	}
	address := AddressOf(api)
	item := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "- %s: %s\n", name, value)
		}
	}
	item("API", api)
	item("Owner", maybe("team ", line1(p.Team)))
	item("Domain", line1(p.Domain))
	item("Tags", line1(strings.Join(p.Tags, ", ")))
	if p.Support != nil {
		item("Questions to", line1(strings.TrimSpace(p.Support.Email+" "+p.Support.URL)))
	}
	for _, v := range p.Versions {
		line := "[" + v.Version + "](" + address + ".md?version=" + v.Version + ") is " + v.State
		if v.Sunset != nil {
			line += ", its sunset is " + v.Sunset.Format(time.DateOnly)
		}
		item("Version", line+maybe(", followed by ", v.Successor))
	}
	if ch := p.Chosen; ch != nil {
		c.chosenMarkdown(&b, p, ch)
	}
	if len(p.Guides) > 0 {
		b.WriteString("\n## Guides\n\n")
		for _, g := range p.Guides {
			fmt.Fprintf(&b, "- [%s](%s.md)\n", line1(g.Title), AddressOf(api, "guides", g.Page))
		}
	}
	return b.String(), nil
}

func (c *Catalog) chosenMarkdown(b *strings.Builder, p *schema.APIPage, ch *schema.ChosenVersion) {
	fmt.Fprintf(b, "\n## %s%s\n\n", ch.Version, maybe(" in ", ch.Environment))
	if n := ch.Banner; n != nil {
		fmt.Fprintf(b, "It is %s", n.Kind)
		if n.Sunset != nil {
			fmt.Fprintf(b, ", its sunset is %s", n.Sunset.Format(time.DateOnly))
		}
		fmt.Fprintf(b, "%s.\n\n", maybe(", followed by ", n.Successor))
	}
	address, query := AddressOf(p.API), "?version="+ch.Version+maybe("&environment=", ch.Environment)
	fmt.Fprintf(b, "Reference: [Markdown](%s/reference.md%s). AsyncAPI: [YAML](%s/asyncapi.yaml%s), [JSON](%s/asyncapi.json%s).\n", address, query, address, query, address, query)
	topics := func(head string, all []schema.APIChannel) {
		if len(all) == 0 {
			return
		}
		fmt.Fprintf(b, "\n### %s\n\n| Topic | Key | Format | Partitions | Kept |\n|---|---|---|---|---|\n", head)
		for _, t := range all {
			partitions := ""
			if t.Partitions != nil {
				partitions = fmt.Sprint(*t.Partitions)
			}
			fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", t.Topic, line1(t.Key), line1(strings.Join(t.Formats, ", ")), partitions, t.Retention)
		}
	}
	topics("You can read", ch.Read)
	topics("You can write", ch.Write)
	if len(ch.Plans) > 0 {
		b.WriteString("\n### Plans\n\n| Product | Plan | Read | Write | Log in by | Approval | Limits |\n|---|---|---|---|---|---|---|\n")
		for _, plan := range ch.Plans {
			var limits []string
			for _, l := range plan.Limits {
				limits = append(limits, fmt.Sprintf("%s %v %s", l.Name, l.Number, l.Unit))
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", plan.Product, line1(plan.Plan), strings.Join(plan.Read, ", "), strings.Join(plan.Write, ", "), strings.Join(plan.Auth, ", "), plan.Approval, strings.Join(limits, ", "))
		}
	}
}

// ReferenceMarkdown returns the reference of a version for programs.
func (c *Catalog) ReferenceMarkdown(ctx context.Context, actor identity.Actor, api, version, environment string) (string, error) {
	r, err := c.Reference(ctx, actor, api, version, environment)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s%s\n\nPart of [%s](%s.md).\n", r.Version, maybe(" in ", r.Environment), api, AddressOf(api))
	for _, ch := range r.Channels {
		fmt.Fprintf(&b, "\n## Topic `%s`, %s\n\n%s", ch.Topic, may(ch.Read, ch.Write), ended(line1(ch.Key), "The key: ", ".\n"))
		for _, m := range ch.Contents {
			fmt.Fprintf(&b, "\n### %s\n\n%s%s", line1(m.Name), ended(line1(m.Summary), "", "\n\n"), ended(line1(m.ContentType), "Content type: ", "\n"))
			for _, part := range []struct {
				name string
				of   *schema.ReferenceSchema
			}{{"Key", m.Key}, {"Value", m.Value}, {"Headers", m.Headers}} {
				if part.of == nil {
					continue
				}
				fmt.Fprintf(&b, "\n#### %s: %s, %s\n\n", part.name, line1(part.of.Format), line1(strings.Join(append([]string{part.of.Type}, part.of.About...), ", ")))
				if len(part.of.Fields) > 0 {
					b.WriteString("| Field | Type | Required | About |\n|---|---|---|---|\n")
					fieldRows(&b, part.of.Fields)
				}
			}
			for _, e := range m.Examples {
				if e.Value != "" {
					fence := "```"
					for strings.Contains(e.Value, fence) {
						fence += "`"
					}
					fmt.Fprintf(&b, "\nExample%s:\n\n%sjson\n%s\n%s\n", maybe(" ", line1(e.Name)), fence, e.Value, fence)
				}
			}
		}
	}
	return b.String(), nil
}

func ended(text, before, after string) string {
	if text == "" {
		return ""
	}
	return before + text + after
}

func fieldRows(b *strings.Builder, all []*schema.ReferenceField) {
	for _, f := range all {
		var about []string
		if f.Personal {
			about = append(about, "personal data")
		}
		if f.Deprecated {
			about = append(about, "deprecated")
		}
		about = append(about, f.About...)
		if f.Example != "" {
			about = append(about, "as "+f.Example)
		}
		words := strings.Join(about, ", ")
		if f.Description != "" {
			words = strings.TrimSuffix(f.Description, ".") + ended(words, ". ", "")
		}
		required := ""
		if f.Required {
			required = "yes"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", line1(f.Path), line1(f.Type), required, line1(words))
		fieldRows(b, f.Fields)
	}
}

// GuideMarkdown returns a guide as its provider wrote it, names in double braces filled
// in.
func (c *Catalog) GuideMarkdown(ctx context.Context, actor identity.Actor, q GuideQuery) (string, error) {
	l, source, _, err := c.guide(ctx, actor, q)
	if err != nil {
		return "", err
	}
	return c.renderer.Fill(source.Body, l.variables(q)), nil
}
