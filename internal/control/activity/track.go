package activity

import (
	"math"
	"time"
)

// The last day in half-hours.
const (
	slotLength = 30 * time.Minute
	slots      = 48
	// continuous is how long nobody may have looked for what lies between two looks to be
	// spread over the slots that they are in. Within one slot it is never in doubt.
	continuous = 2 * time.Minute
	// covered is how much of a slot somebody must have seen for anything to be said of it.
	covered = time.Minute
	// window is what the rate of now is of.
	window = 30 * time.Second
	// stale is for how long the rate of now is one.
	stale = 90 * time.Second
)

// Flow is what flows through a topic.
type Flow struct {
	// Rate is records a second now; NaN when that is not known.
	Rate float64
	// LastEvent is when the last record came, within a few seconds; zero for never, or
	// for not known.
	LastEvent time.Time
	// Points are records a second in each half-hour of the last day, the oldest first and
	// the one that is not over last; NaN for those in which nobody looked.
	Points []float64
	// Today counts the records since midnight, UTC, that were seen to come.
	Today      int64
	Partitions int
	// Retention is how long records are kept, less than 0 for ever, 0 when it is not known.
	Retention time.Duration
}

// track is what is known of one topic.
type track struct {
	end        int64
	seen       time.Time // when the end was there
	last       time.Time // when it moved, or the newest record came
	slots      [slots]slot
	day        int64 // since 1970, UTC: of today
	today      int64
	recent     [8]look // the newest last
	partitions int
	retention  time.Duration
}

// slot is a half-hour.
type slot struct {
	number  int64 // since 1970
	records int64
	covered time.Duration // of it
}

// look is what was seen once.
type look struct {
	at  time.Time
	end int64
}

func slotOf(t time.Time) int64 { return t.Unix() / int64(slotLength/time.Second) }

func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

// observe notes where a log ends.
func (t *track) observe(now time.Time, e End) {
	before, at := t.end, t.seen
	t.partitions = e.Partitions
	t.end, t.seen = e.Offset, now
	if e.Offset < before { // the topic was made anew
		clear(t.recent[:])
		before, at = 0, time.Time{}
	}
	copy(t.recent[:], t.recent[1:])
	t.recent[len(t.recent)-1] = look{now, e.Offset}
	if at.IsZero() || !now.After(at) {
		return
	}
	came := e.Offset - before
	if came > 0 {
		t.last = now
	}
	if day := dayOf(now); day != t.day {
		t.day, t.today = day, 0
	}
	if dayOf(at) == t.day {
		t.today += came
	}
	switch first, last := slotOf(at), slotOf(now); {
	case first == last:
		t.add(last, came, now.Sub(at))
	case now.Sub(at) <= continuous: // in two slots, one behind the other
		border := time.Unix(last*int64(slotLength/time.Second), 0)
		part := int64(math.Round(float64(came) * float64(border.Sub(at)) / float64(now.Sub(at))))
		t.add(first, part, border.Sub(at))
		t.add(last, came-part, now.Sub(border))
		if dayOf(at) != t.day {
			t.today += came - part
		}
	}
}

func (t *track) add(number, records int64, d time.Duration) {
	s := &t.slots[number%slots]
	if s.number != number {
		*s = slot{number: number}
	}
	s.records += records
	s.covered += d
}

// flow is what is known at a time.
func (t *track) flow(now time.Time) Flow {
	f := Flow{Rate: math.NaN(), LastEvent: t.last, Partitions: t.partitions, Retention: t.retention, Points: make([]float64, slots)}
	newest := t.recent[len(t.recent)-1]
	for _, l := range t.recent {
		if l.at.IsZero() || newest.at.Sub(l.at) > window || now.Sub(newest.at) > stale {
			continue
		}
		if seconds := newest.at.Sub(l.at).Seconds(); seconds > 0 {
			f.Rate = float64(newest.end-l.end) / seconds
		}
		break
	}
	if dayOf(now) == t.day {
		f.Today = t.today
	}
	this := slotOf(now)
	for i := range slots {
		number := this - slots + 1 + int64(i)
		f.Points[i] = math.NaN()
		if s := t.slots[number%slots]; s.number == number && s.covered >= covered {
			f.Points[i] = float64(s.records) / s.covered.Seconds()
		}
	}
	return f
}
