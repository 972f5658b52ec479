package activity

import (
	"math"
	"reflect"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// seen is a track that was looked at every five seconds, from and to so many seconds from noon,
// while so many records a second came.
func seen(t *track, from, to int, rate float64) {
	start := t.end
	for s := from; s <= to; s += 5 {
		t.observe(noon.Add(time.Duration(s)*time.Second), End{Offset: start + int64(float64(s-from)*rate), Partitions: 3})
	}
}

func near(a, b float64) bool { return math.Abs(a-b) <= 0.02*math.Abs(b)+1e-9 }

func TestTracks(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(t *track)
		at   int // seconds from noon
		// what is known then: the rate, the last points, and today's count; NaN for not known
		rate  float64
		last  []float64
		today int64
	}{
		{"nobody looked", func(*track) {}, 0, math.NaN(), []float64{math.NaN(), math.NaN()}, 0},
		{"one look says nothing of rates", func(k *track) { seen(k, 0, 0, 1) }, 1, math.NaN(), []float64{math.NaN(), math.NaN()}, 0},
		{"a steady flow", func(k *track) { seen(k, 0, 600, 4) }, 601, 4, []float64{math.NaN(), 4}, 2400},
		{"nothing comes, which is known", func(k *track) { seen(k, 0, 600, 0) }, 601, 0, []float64{math.NaN(), 0}, 0},
		{"over the end of a half-hour", func(k *track) { seen(k, 0, 1790, 2); seen(k, 1795, 2400, 2) }, 2401, 2, []float64{2, 2}, 4790},
		{"away for long within one half-hour", func(k *track) { seen(k, 0, 100, 2); seen(k, 1000, 1100, 2) }, 1101, 2, []float64{math.NaN(), 400.0 / 1100}, 400},
		{"away over the end of one", func(k *track) {
			seen(k, 1000, 1500, 2)
			k.observe(noon.Add(5000*time.Second), End{Offset: k.end + 7000})
			seen(k, 5000, 5600, 1)
		}, 5601, 1, []float64{math.NaN(), 2, math.NaN(), 1, 1}, 1000 + 7000 + 600},
		{"the topic was made anew", func(k *track) {
			seen(k, 0, 600, 10)
			k.end = 0
			k.observe(noon.Add(605*time.Second), End{})
			seen(k, 610, 900, 1)
		}, 901, 1, []float64{math.NaN(), (6000.0 + 290) / 890}, 6290},
		{"it stopped being seen", func(k *track) { seen(k, 0, 600, 4) }, 900, math.NaN(), []float64{math.NaN(), 4}, 2400},
		{"a minute is the least that says something", func(k *track) { seen(k, 0, 50, 4) }, 51, 4, []float64{math.NaN(), math.NaN()}, 200},
		{"over midnight", func(k *track) { seen(k, 12*3600-600, 12*3600+600, 1) }, 12*3600 + 601, 1, []float64{1, 1}, 600},
		{"a day later", func(k *track) { seen(k, 0, 600, 4) }, 25 * 3600, math.NaN(), []float64{math.NaN()}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := &track{}
			tc.do(k)
			for range 2 { // and once more after it was kept
				f := k.flow(noon.Add(time.Duration(tc.at) * time.Second))
				same := func(what string, got, want float64) {
					if math.IsNaN(want) != math.IsNaN(got) || !math.IsNaN(want) && !near(got, want) {
						t.Errorf("%s: got %v, want %v", what, got, want)
					}
				}
				same("rate", f.Rate, tc.rate)
				if len(f.Points) != 48 {
					t.Fatalf("%d points", len(f.Points))
				}
				for i, want := range tc.last {
					same("a point", f.Points[48-len(tc.last)+i], want)
				}
				if f.Today != tc.today {
					t.Errorf("today: got %d, want %d", f.Today, tc.today)
				}
				kept, err := decode(encode(map[string]*track{"a": k, "b": {}}, slotOf(noon.Add(time.Duration(tc.at)*time.Second))))
				if err != nil {
					t.Fatal(err)
				}
				if k.seen.IsZero() {
					if len(kept) != 0 {
						t.Errorf("kept %v of what nobody saw", kept)
					}
					return
				}
				kept["a"].recent = k.recent // of now, and not kept
				k = kept["a"]
			}
		})
	}
}

func TestDecodeRefusesWhatItDidNotWrite(t *testing.T) {
	k := &track{}
	seen(k, 0, 600, 3)
	b := encode(map[string]*track{"orders": k}, slotOf(noon.Add(601*time.Second)))
	if got, err := decode(b); err != nil || len(got) != 1 || got["orders"].end != 1800 || got["orders"].partitions != 3 || !got["orders"].last.Equal(noon.Add(600*time.Second)) {
		t.Fatalf("got %+v, %v", got["orders"], err)
	}
	for i := range b {
		if _, err := decode(b[:i]); err == nil && i > 1 {
			t.Errorf("the first %d of %d bytes are taken for all", i, len(b))
		}
	}
}

// FuzzDecode: what was decoded and encoded again is the same; nothing panics.
func FuzzDecode(f *testing.F) {
	k := &track{}
	seen(k, 0, 2000, 3)
	f.Add(encode(map[string]*track{"orders": k, "x": k}, slotOf(noon)))
	f.Fuzz(func(t *testing.T, b []byte) {
		tracks, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(encode(tracks, slotOf(noon)))
		if err != nil || len(again) > len(tracks) {
			t.Fatalf("%d tracks, then %d: %v", len(tracks), len(again), err)
		}
		for topic, k := range again {
			if before := tracks[topic]; before.end != k.end || before.today != k.today || !reflect.DeepEqual(before.last, k.last) {
				t.Errorf("%s: got %+v, want %+v", topic, k, before)
			}
		}
	})
}
