package sample

import (
	"slices"
	"time"
)

// instant is a time as JSON has it (RFC 3339), in milliseconds.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// lengths that times lie away from now, by the words of their names.
var (
	births  = []string{"birth", "birthday", "birthdate", "dob", "born"}
	starts  = []string{"created", "placed", "ordered", "opened", "registered", "submitted", "started", "start", "begin", "began", "since", "joined", "booked", "issued", "received", "requested", "creation"}
	futures = []string{"expires", "expiry", "expiration", "due", "eta", "deadline", "until", "expected", "estimated", "scheduled", "arrival", "departure", "end", "ends", "maturity", "planned", "promised", "window", "appointment", "checkout", "checkin", "delivery"}
	pasts   = []string{"previous", "last", "installed", "manufactured", "purchased", "hired", "founded", "effective", "from", "signup"}
	// recent are what happens with the record, whatever else their names say.
	recent = []string{"updated", "modified", "changed", "recorded", "occurred", "observed", "measured", "timestamp", "event", "sent", "emitted", "published", "processed", "delivered", "arrived", "departed", "completed", "seen"}
)

// moment is a time that a name promises: now, or as far from it as such times are.
func (g *maker) moment(at place) time.Time {
	own := at.words[max(0, len(at.words)-max(at.own, 1)):]
	has := func(list []string) bool {
		return slices.ContainsFunc(own, func(w string) bool { return slices.Contains(list, w) })
	}
	r := g.steady(at)
	switch {
	case has(births):
		return g.born().AddDate(-20-r.IntN(55), -r.IntN(12), -r.IntN(28))
	case has(recent):
		return g.now.Add(-time.Duration(g.fresh(at).IntN(900)) * time.Millisecond)
	case has(futures):
		return g.born().Add(time.Duration(1+r.IntN(5*24*60)) * time.Minute).Truncate(time.Minute)
	case has(starts):
		return g.born().Add(-time.Duration(r.IntN(900)) * time.Millisecond)
	case has(pasts):
		return g.born().AddDate(0, -r.IntN(18), -1-r.IntN(28))
	}
	return g.now.Add(-time.Duration(g.fresh(at).IntN(900)) * time.Millisecond)
}

// born is when the thing came to be.
func (g *maker) born() time.Time { return g.thing.born }

// temporal says whether a name is that of a moment.
func temporal(own []string) bool {
	if len(own) == 0 {
		return false
	}
	last := own[len(own)-1]
	if last == "at" && len(own) > 1 || last == "on" && len(own) > 1 && (slices.Contains(starts, own[len(own)-2]) || slices.Contains(recent, own[len(own)-2])) {
		return true
	}
	for len(own) > 1 && (unitOf(last) != 0 || last == "utc" || last == "epoch" || last == "unix") {
		own = own[:len(own)-1]
		last = own[len(own)-1]
	}
	switch last {
	case "at":
		return len(own) > 1
	case "time", "timestamp", "datetime", "ts", "date", "eta", "expiry", "deadline", "birthday", "birthdate", "dob":
		return true
	}
	return false
}

// unitOf is what a word counts moments in, 0 for none.
func unitOf(word string) time.Duration {
	switch word {
	case "s", "sec", "secs", "seconds":
		return time.Second
	case "ms", "millis", "milliseconds", "msec":
		return time.Millisecond
	case "us", "micros", "microseconds":
		return time.Microsecond
	case "ns", "nanos", "nanoseconds":
		return time.Nanosecond
	}
	return 0
}

// counted is a moment as a whole number, in what the name says, or what fits below a
// bound.
func (g *maker) counted(at place, high float64) int64 {
	t := g.moment(at)
	own := at.words[len(at.words)-at.own:]
	unit := time.Duration(0)
	if len(own) > 0 {
		unit = unitOf(own[len(own)-1])
	}
	if unit == 0 && slices.Contains(own, "unix") || slices.Contains(own, "epoch") && unit == 0 {
		unit = time.Second
	}
	if unit == 0 {
		unit = time.Millisecond
	}
	if unit <= time.Millisecond && float64(t.UnixMilli()) > high {
		unit = time.Second
	}
	switch unit {
	case time.Second:
		return t.Unix()
	case time.Microsecond:
		return t.UnixMicro()
	case time.Nanosecond:
		return t.UnixNano()
	}
	return t.UnixMilli()
}
