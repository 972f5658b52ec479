package activity

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"sluice/internal/control"
	"sluice/internal/resource"
)

// noteOf is where the store remembers what was seen of a cluster.
func noteOf(cluster string) string { return "activity " + cluster }

// keepSometimes writes what was seen to the store, and once more at the end.
func (a *Activity) keepSometimes(ctx context.Context) {
	ticker := time.NewTicker(a.KeepEvery)
	defer ticker.Stop()
	written := a.Now()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
		kept, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		now := a.Now()
		if err := a.keep(kept, written); err != nil {
			a.Log.Error("what flowed through topics cannot be kept", "err", err)
		} else {
			written = now
		}
		cancel()
	}
}

// keep writes what was seen since a time.
func (a *Activity) keep(ctx context.Context, since time.Time) error {
	notes := map[string]string{}
	a.mu.Lock()
	by := map[string]map[string]*track{}
	for at, t := range a.tracks {
		if by[at.Cluster] == nil {
			by[at.Cluster] = map[string]*track{}
		}
		by[at.Cluster][at.Topic] = t
	}
	for cluster, tracks := range by {
		if !a.seen[cluster].Before(since) {
			notes[cluster] = base64.StdEncoding.EncodeToString(encode(tracks, slotOf(a.Now())))
		}
	}
	a.mu.Unlock()
	if len(notes) == 0 {
		return nil
	}
	return a.Store.Write(ctx, func(w control.Writer) error {
		for cluster, note := range notes {
			if err := w.PutNote(noteOf(cluster), note); err != nil {
				return err
			}
		}
		return nil
	})
}

// recall reads what was seen of a cluster before.
func (a *Activity) recall(ctx context.Context, cluster string, topics []string) {
	var note string
	err := a.Store.Read(ctx, func(r control.Reader) (err error) {
		note, err = r.Note(noteOf(cluster))
		return err
	})
	var data []byte
	if err == nil {
		data, err = base64.StdEncoding.DecodeString(note)
	}
	var before map[string]*track
	if err == nil && len(data) > 0 {
		before, err = decode(data)
	}
	if err != nil {
		if ctx.Err() == nil {
			a.Log.Error("what flowed through topics before cannot be read", "cluster", cluster, "err", err)
		}
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for topic, t := range before {
		at := resource.Backing{Cluster: cluster, Topic: topic}
		if _, wanted := slices.BinarySearch(topics, topic); wanted && a.tracks[at] == nil {
			a.tracks[at] = t
		}
	}
}

// layout is the first byte of what is kept.
const layout = 1

// encode writes tracks: for each its topic, where and when it ended, the last event, today's
// records, and the slots of the last day that something is known of.
func encode(tracks map[string]*track, this int64) []byte {
	out := []byte{layout}
	for _, topic := range slices.Sorted(maps.Keys(tracks)) {
		t := tracks[topic]
		if t.seen.IsZero() {
			continue
		}
		out = binary.AppendUvarint(out, uint64(len(topic)))
		out = append(out, topic...)
		for _, v := range []int64{t.end, millis(t.seen), millis(t.last), t.day, t.today, int64(t.partitions), int64(t.retention)} {
			out = binary.AppendVarint(out, v)
		}
		var known []slot
		for i := range int64(slots) {
			if s := t.slots[(this-slots+1+i)%slots]; s.number == this-slots+1+i && s.covered > 0 {
				known = append(known, s)
			}
		}
		out = binary.AppendUvarint(out, uint64(len(known)))
		for _, s := range known {
			out = binary.AppendVarint(out, s.number)
			out = binary.AppendVarint(out, s.records)
			out = binary.AppendVarint(out, int64(s.covered/time.Millisecond))
		}
	}
	return out
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

var errKept = errors.New("it was not written by this version")

// decode reads what encode wrote.
func decode(b []byte) (map[string]*track, error) {
	if len(b) == 0 || b[0] != layout {
		return nil, errKept
	}
	b = b[1:]
	bad := false
	next := func() int64 {
		v, n := binary.Varint(b)
		if n <= 0 {
			bad = true
			return 0
		}
		b = b[n:]
		return v
	}
	out := map[string]*track{}
	for len(b) > 0 {
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return nil, errKept
		}
		topic := string(b[n : n+int(length)])
		b = b[n+int(length):]
		t := &track{end: next(), seen: time.UnixMilli(next())}
		if last := next(); last != 0 {
			t.last = time.UnixMilli(last)
		}
		t.day, t.today, t.partitions, t.retention = next(), next(), int(next()), time.Duration(next())
		count, n := binary.Uvarint(b)
		if n <= 0 || count > slots || bad {
			return nil, errKept
		}
		b = b[n:]
		for range count {
			s := slot{number: next(), records: next(), covered: time.Duration(next()) * time.Millisecond}
			if bad || s.number < 0 || s.records < 0 || s.covered < 0 {
				return nil, errKept
			}
			t.slots[s.number%slots] = s
		}
		out[topic] = t
	}
	return out, nil
}
