package gateway

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLogGateCountsWhatItLeavesOut(t *testing.T) {
	now := time.Unix(1000, 0)
	var b bytes.Buffer
	g := &Gateway{deps: Deps{Now: func() time.Time { return now }}, gate: logGate{kinds: make(map[string]*logCount)}}
	log := slog.New(slog.NewTextHandler(&b, nil))
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() { g.atMost(5, log, slog.LevelInfo, "a", "refused") })
	}
	wg.Wait()
	g.atMost(5, log, slog.LevelInfo, "b", "another kind")
	if got := b.String(); strings.Count(got, "msg=refused") != 5 || strings.Count(got, "another kind") != 1 || strings.Contains(got, "suppressed") {
		t.Errorf("500 at once: %s", got)
	}
	b.Reset()
	now = now.Add(logWindow)
	g.atMost(5, log, slog.LevelInfo, "a", "refused")
	g.atMost(5, log, slog.LevelInfo, "a", "refused")
	if got := b.String(); strings.Count(got, "suppressed=495") != 1 || strings.Count(got, "refused") != 2 {
		t.Errorf("a window later: %s", got)
	}
}
