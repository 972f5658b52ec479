package differential

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/gateway/handler"
	"sluice/test/harness"
	"sluice/test/script"
)

// cell is one script in one version as one application.
type cell struct {
	api     *handler.API
	version int16
	app     string
	number  int
}

func (c cell) String() string { return fmt.Sprintf("%s v%d as %s", c.api.Name, c.version, c.app) }

// cells are all of them in the full run; a sample has the oldest and the newest version of each API as the application
// that is allowed some, and some more that a seed picks (SLUICE_SEED, otherwise the day's).
func cells(t *testing.T, offered map[int16]script.Range) (out []cell) {
	seed := uint64(time.Now().Unix() / 86400)
	if s := os.Getenv("SLUICE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("SLUICE_SEED: %v", err)
		}
	}
	if !harness.Full() {
		t.Logf("a sample; SLUICE_SEED=%d picks the same again, SLUICE_FULL=1 runs all", seed)
	}
	random := rand.New(rand.NewPCG(seed, 1))
	only := os.Getenv("SLUICE_API")
	for _, a := range advertised() {
		if script.Scripts[a.Key] == nil {
			t.Errorf("%s (API key %d) is advertised and has no script: write one in test/script", a.Name, a.Key)
			continue
		}
		r, ok := offered[a.Key]
		if !ok || only != "" && only != a.Name {
			continue // this release of Kafka has it not
		}
		for v := max(r.Min, a.Min); v <= min(r.Max, a.Max); v++ { // Produce is offered from 0 on, for clients that look for it
			for _, app := range []string{script.Allowed, script.Partly, script.Denied} {
				if !harness.Full() && only == "" {
					odds := 40
					switch {
					case app == script.Partly && (v == min(r.Max, a.Max) || v == max(r.Min, a.Min)):
						odds = 1
					case v == min(r.Max, a.Max):
						odds = 3
					}
					if random.IntN(odds) > 0 {
						continue
					}
				}
				out = append(out, cell{a, v, app, len(out) + 1})
			}
		}
	}
	return out
}

var versionless, celled = regexp.MustCompile(` v(\d+|x) `), regexp.MustCompile(`cell\.\d+|(at|Offset\]?) \d+`)

// general is a place without what differs between the cells of one script.
func general(place string) string {
	return celled.ReplaceAllString(versionless.ReplaceAllString(place, " v* "), "*")
}

// What a client is answered through the gateway, and what it leaves on the cluster, is what the cluster itself answers
// and keeps for a principal with the same rights: for every Kafka API that is advertised, in every version, as an
// application with all rights, some, and none. Where it is not, an exception says why.
func TestTheGatewayAnswersAsKafkaDoes(t *testing.T) {
	if err := script.WarmUp(adminConn(t)); err != nil {
		t.Fatal(err)
	}
	lanes := []*script.Lane{directLane(t), gatewayLane(t, "identity", false), gatewayLane(t, "renamed", true)}
	offered := versions(t, lanes)
	for _, l := range lanes {
		l.Versions = offered
	}
	all := cells(t, offered)
	start := time.Now()
	results := run(lanes, all)
	t.Logf("%d scripts in each of %d lanes in %v", len(all), len(lanes), time.Since(start).Round(100*time.Millisecond))

	exceptions := newExceptions()
	table := newReport(exceptions)
	// What differs is done again: what a cluster does a moment sooner or later differs once, what the gateway does otherwise
	// always does.
	next := len(all) + 1
	for try := 1; try <= 3; try++ {
		var again []int
		for n, c := range all {
			for i := range lanes {
				if results[i][n].err != nil || slices.ContainsFunc(script.Compare(results[0][n].recording, results[i][n].recording), func(d script.Difference) bool { return exceptions.excepted(c.app, d) == nil }) {
					again = append(again, n)
					break
				}
			}
		}
		if len(again) == 0 || len(again) > 100 { // so many are no accident
			break
		}
		var cells []cell
		for _, n := range again {
			t.Logf("once more: %s", all[n])
			c := all[n]
			c.number = next
			next++
			cells = append(cells, c)
		}
		for i, repeated := range run(lanes, cells) {
			for k, n := range again {
				results[i][n] = repeated[k]
			}
		}
	}
	differences := map[string][]string{} // what differs, and in which cells
	places := 0
	for n, c := range all {
		for i := range lanes {
			if err := results[i][n].err; err != nil {
				t.Errorf("%s: %v", c, err)
			}
		}
		direct := results[0][n].recording
		places += len(direct)
		for i, l := range lanes[1:] {
			var reasons []string
			for _, d := range script.Compare(direct, results[i+1][n].recording) {
				if e := exceptions.excepted(c.app, d); e != nil {
					reasons = append(reasons, e.id)
					continue
				}
				what := fmt.Sprintf("%s\n\tKafka:   %s\n\tgateway: %s", general(d.Place), short(d.A), short(d.B))
				differences[what] = append(differences[what], fmt.Sprintf("v%d %s %s", c.version, c.app, l.Name))
			}
			table.add(c, reasons)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(differences)) {
		in := differences[what]
		t.Errorf("%s\n\tin %d: %s", what, len(in), short(strings.Join(in, ", ")))
	}
	t.Logf("%d answers' fields and effects compared in each lane", places)
	if harness.Full() && os.Getenv("SLUICE_API") == "" && !t.Failed() {
		for _, e := range exceptions {
			if !e.used && !e.chance && e.appliesTo(apache.Version) {
				t.Errorf("the exception %s (%s) was never needed: take it out", e.id, e.place)
			}
		}
		if err := table.write(apache.Version, len(all), places); err != nil {
			t.Error(err)
		}
	}
}

// result is what one script in one lane came to.
type result struct {
	recording script.Recording
	err       error
}

// run runs cells in every lane, in the same order, and returns the results by lane.
func run(lanes []*script.Lane, cells []cell) [][]result {
	results := make([][]result, len(lanes))
	var wg sync.WaitGroup
	for i, l := range lanes {
		results[i] = make([]result, len(cells))
		wg.Go(func() {
			for n, c := range cells {
				results[i][n].recording, results[i][n].err = l.Run(c.api.Key, c.version, c.app, c.number)
			}
		})
	}
	wg.Wait()
	return results
}
