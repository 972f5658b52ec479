package differential

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sluice/test/script"
)

// reported is the release whose full run writes docs/differential.md: the one that offers every advertised version.
const reported = "4.3.1"

// report collects what docs/differential.md says.
type report struct {
	outcomes map[string]map[int16]map[string][]string // by API, version and application: the exceptions that were needed
	order    []string
	reasons  map[string]string
}

func newReport(list exceptionList) *report {
	r := &report{outcomes: map[string]map[int16]map[string][]string{}, reasons: map[string]string{}}
	for _, e := range list {
		r.reasons[e.id] = e.reason
	}
	return r
}

func (r *report) add(c cell, reasons []string) {
	name := fmt.Sprintf("%d | %s", c.api.Key, c.api.Name)
	if r.outcomes[name] == nil {
		r.outcomes[name] = map[int16]map[string][]string{}
		r.order = append(r.order, name)
	}
	if r.outcomes[name][c.version] == nil {
		r.outcomes[name][c.version] = map[string][]string{}
	}
	all := append(r.outcomes[name][c.version][c.app], reasons...)
	slices.Sort(all)
	r.outcomes[name][c.version][c.app] = slices.Compact(all)
}

// write writes the page after a full run without a difference.
func (r *report) write(release string, scripts, places int) error {
	if release != reported {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Through the gateway and directly\n\nMade by the full run of `test/differential` (do not edit), on Apache Kafka %s.\n", release)
	fmt.Fprintf(&b, `
Each script makes some state, groups, transactions, records, and asks one Kafka API in one version all that there is to ask, as an
application that is allowed every topic, some, or none. It runs on the cluster itself, whose ACLs carry the same rights; through the
gateway with topics under their own names; and through the gateway with topics renamed. What is answered, and what is left on the
cluster (records, groups, offsets, transactions, topics), is the same: %d scripts, %d values compared in each lane.

Not compared: throttle times. Compared as "the same thing again", not by value: member, session, producer, topic and cluster ids, hosts and
ports, which must be the gateway's, and moments of a broker's clock. Elements of arrays are compared without their order. Other releases
run as well, with the versions they have.

"equal" is without any difference. A number is an exception, explained below; texts and hosts of members are excepted everywhere.

| Key | Kafka API | Versions | allowed | partly allowed | denied |
|---|---|---|---|---|---|
`, scripts, places)
	numbers := map[string]int{}
	everywhere := map[string]bool{"texts": true, "member hosts": true}
	show := func(ids []string) string {
		var out []string
		for _, id := range ids {
			if everywhere[id] {
				continue
			}
			if numbers[id] == 0 {
				numbers[id] = len(numbers) + 1
			}
			out = append(out, fmt.Sprint(numbers[id]))
		}
		if len(out) == 0 {
			return "equal"
		}
		return strings.Join(out, ", ")
	}
	for _, name := range r.order {
		var versions []int16
		for v := range r.outcomes[name] {
			versions = append(versions, v)
		}
		slices.Sort(versions)
		row := func(v int16) string {
			var cells []string
			for _, app := range []string{script.Allowed, script.Partly, script.Denied} {
				cells = append(cells, show(r.outcomes[name][v][app]))
			}
			return strings.Join(cells, " | ")
		}
		for i := 0; i < len(versions); {
			j := i
			for j+1 < len(versions) && row(versions[j+1]) == row(versions[i]) {
				j++
			}
			span := fmt.Sprint(versions[i])
			if j > i {
				span += fmt.Sprintf("–%d", versions[j])
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", name, span, row(versions[i]))
			i = j + 1
		}
	}
	b.WriteString("\n## Exceptions\n\n")
	ids := make([]string, len(numbers))
	for id, n := range numbers {
		ids[n-1] = id
	}
	for i, id := range ids {
		fmt.Fprintf(&b, "%d. *%s*: %s.\n", i+1, id, r.reasons[id])
	}
	for _, id := range []string{"texts", "member hosts"} {
		fmt.Fprintf(&b, "- *%s*: %s.\n", id, r.reasons[id])
	}
	return os.WriteFile(filepath.Join("..", "..", "docs", "differential.md"), []byte(b.String()), 0o644)
}
