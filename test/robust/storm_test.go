package robust

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/test/harness"
)

// Crowds come: of logins, of sockets that say nothing, of handshakes that never end. Who is there stays, and who comes
// with a login gets in.
func TestCrowds(t *testing.T) {
	nLogins, nSilent, nLoris := 200, 1500, 100
	if harness.Full() {
		nLogins, nSilent, nLoris = 5000, 15_000, 800
	}
	w := start(t, options{listener: withTLS, files: pairFiles(t, "storm", time.Now().Add(365*24*time.Hour))})
	conn, err := dialTLS(w.Bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	other := witnessOn(t, conn)
	before := w.rest()
	quietFor := 2 * time.Second
	time.Sleep(quietFor) // the length of what is measured
	_, _, quiet := other.lap("quiet")
	memory := func() int64 {
		rss, err := statusOf(w.Pid(), "VmRSS")
		if err != nil {
			t.Fatal(err)
		}
		return rss
	}
	var report strings.Builder
	row := func(what, result string) {
		n, p50, p99 := other.lap(what)
		line := fmt.Sprintf("| %s | %s | %d | %.1f ms | %.1f ms | %.1f | %d MB |\n", what, result, n, ms(p50), ms(p99), float64(p99)/float64(quiet), memory()>>20)
		report.WriteString(line)
		t.Log(strings.TrimSpace(line))
	}
	check := func(what string, r result, want int) string {
		if r.Done != want || r.Failed > 0 {
			t.Errorf("%s: %d of %d, %d failed: %v", what, r.Done, want, r.Failed, r.Errors)
		}
		m := w.must()
		t.Logf("%s: refused %v, made room %v", what, m["sluice_gateway_connections_refused_total"], m["sluice_gateway_connections_evicted_total"])
		return fmt.Sprintf("%d in %.1f s, %d tried again", r.Done, r.Took.Seconds(), r.Retries)
	}

	storm := startCrowd(t, "logins", job{Address: w.Bootstrap, Count: nLogins, User: troubled + "-scram"})
	r := storm.arrived(t, 3*time.Minute)
	row("logins at once", check("logins", r, nLogins))
	time.Sleep(quietFor / 2)
	row("all of them there", fmt.Sprintf("%d connections", int(w.must()["sluice_gateway_connections"])))
	storm.disperse(t)
	w.backTo(before, 30*time.Second)
	other.lap("the crowd has gone")

	mute := startCrowd(t, "silent", job{Address: w.Bootstrap, Count: nSilent, User: ""})
	r = mute.arrived(t, 3*time.Minute)
	row("sockets that never speak", fmt.Sprintf("%d opened in %.1f s", r.Done, r.Took.Seconds()))
	within(t, 30*time.Second, "at most 1000 are let in before their login", func() error {
		if n := w.must()["sluice_gateway_connections"]; n > 1000+2 { // those that have made room go a moment later
			return fmt.Errorf("%v connections", n)
		}
		return nil
	})
	few := startCrowd(t, "logins", job{Address: w.Bootstrap, Count: nLogins / 10, User: troubled + "-scram"})
	r = few.arrived(t, 3*time.Minute)
	row("logins among them", check("logins among the silent", r, nLogins/10))
	few.disperse(t)
	mute.disperse(t)
	w.backTo(before, 30*time.Second)
	other.lap("the crowd has gone")

	slow := startCrowd(t, "loris", job{Address: w.Bootstrap, Count: nLoris, User: ""})
	slow.arrived(t, time.Minute)
	few = startCrowd(t, "logins", job{Address: w.Bootstrap, Count: nLogins / 10, User: troubled + "-scram"})
	r = few.arrived(t, 3*time.Minute)
	row("logins among handshakes of a byte at a time", check("logins among slow handshakes", r, nLogins/10))
	few.disperse(t)
	slow.disperse(t)
	w.backTo(before, 30*time.Second)
	other.lap("the crowd has gone")
	// And all who are there come back at once, when the gateway was killed.
	other.leave()
	n := nLogins * 2 / 5
	storm = startCrowd(t, "logins", job{Address: w.Bootstrap, Count: n, User: troubled + "-scram", Again: true})
	check("logins before the kill", storm.arrived(t, 3*time.Minute), n)
	w.Kill()
	w.Start()
	r = storm.arrived(t, 3*time.Minute)
	fmt.Fprintf(&report, "| back after the gateway was killed | %s | | | | | %d MB |\n", check("back again", r, n), memory()>>20)
	t.Logf("back after a kill: %+v", r)
	storm.disperse(t)
	harness.Report(t, "crowds", fmt.Sprintf("Quiet, the bystander's p99 is %.1f ms.\n\n| Crowd | what came of it | rounds of the bystander | p50 | p99 | p99 to quiet | memory of the gateway |\n|---|---|---|---|---|---|---|\n%s",
		float64(quiet.Microseconds())/1000, report.String()))
}
