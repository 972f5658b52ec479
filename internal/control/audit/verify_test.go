package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "write testdata/export.jsonl anew")

// memory is a log without a database.
type memory struct {
	rows  []Row
	heads []Head
}

func (m *memory) AuditRows(q Query) ([]Row, bool, error) {
	newest := slices.Clone(m.rows)
	slices.Reverse(newest)
	return newest[:min(q.Limit, len(newest))], false, nil
}

func (m *memory) AuditFrom(seq int64, f func(Row) error) error {
	for _, r := range m.rows {
		if r.Seq >= seq {
			if err := f(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memory) AuditHeads(seq int64, f func(Head) error) error {
	for _, h := range m.heads {
		if h.Seq >= seq {
			if err := f(h); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memory) AppendAudit(r Row) (Row, error) {
	var last Row
	if len(m.rows) > 0 {
		last = m.rows[len(m.rows)-1]
	}
	r, err := Chain(last, r)
	m.rows = append(m.rows, r)
	return r, err
}

func (m *memory) AppendHead(h Head) error {
	m.heads = append(m.heads, h)
	return nil
}

func keyOf(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

var began = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

// rows from 1 to n, with a head behind each tenth and the last.
func logOf(t testing.TB, n int, key ed25519.PrivateKey, change func(*Row)) *memory {
	t.Helper()
	m := &memory{}
	for i := 1; i <= n; i++ {
		r := Row{Time: began.Add(time.Duration(i) * time.Second), Actor: "person ada", Action: "apply", Kind: "API", Name: fmt.Sprint("api", i), Result: "ok",
			Details: json.RawMessage(fmt.Sprintf(`{"n":%d,"hash":"<\u2028>"}`, i))}
		if change != nil {
			r.Seq = int64(i)
			change(&r)
		}
		r, err := m.AppendAudit(r)
		if err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 || i == n {
			if err := m.AppendHead(Sign(key, "log1", r, r.Time)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

func exported(t testing.TB, m *memory, from int64) []string {
	t.Helper()
	var b bytes.Buffer
	if _, err := Export(&b, m, "log1", from, 0); err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func TestEveryManipulationIsNamed(t *testing.T) {
	key := keyOf(1)
	public := key.Public().(ed25519.PublicKey)
	whole := logOf(t, 35, key, nil)
	lines := exported(t, whole, 1) // row n is at n-1+(n-1)/10; heads of 10, 20, 30 and 35
	at := func(row int) int { return row - 1 + (row-1)/10 }
	head10 := at(10) + 1
	if len(lines) != 39 || !strings.Contains(lines[head10], `"seq":10,`) || !strings.Contains(lines[head10], headType) {
		t.Fatalf("%d lines, and behind row 10 is %s", len(lines), lines[head10])
	}
	replace := func(i int, old, new string) func([]string) []string {
		return func(l []string) []string {
			if !strings.Contains(l[i], old) {
				t.Errorf("no %s in %s", old, l[i])
			}
			l[i] = strings.Replace(l[i], old, new, 1)
			return l
		}
	}
	remove := func(from, to int) func([]string) []string {
		return func(l []string) []string { return slices.Delete(l, from, to) }
	}
	// What somebody writes who has the store and not the key: everything fits, but the heads.
	anew := logOf(t, 35, keyOf(2), func(r *Row) {
		if r.Seq == 14 {
			r.Actor = "person eve"
		}
	})
	rewritten := exported(t, anew, 1)
	for i := range rewritten {
		if strings.Contains(rewritten[i], headType) {
			rewritten[i] = lines[i]
		}
	}
	foreign, err := HeadEvent(Sign(keyOf(2), "log1", whole.rows[9], began))
	if err != nil {
		t.Fatal(err)
	}
	otherLog, err := HeadEvent(Sign(key, "log2", whole.rows[9], began))
	if err != nil {
		t.Fatal(err)
	}
	forged := whole.heads[0]
	forged.Hash = anew.rows[34].Hash
	forgedLine, err := HeadEvent(forged)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change  func([]string) []string
		options VerifyOptions
		want    []string // rows and parts of messages, as "17: was altered"
	}{
		"nothing":                       {change: func(l []string) []string { return l }},
		"nothing, and heads elsewhere":  {change: func(l []string) []string { return l }, options: VerifyOptions{Heads: whole.heads}},
		"an altered field":              {change: replace(at(17), "person ada", "person eve"), want: []string{"17: row 17 was altered: its content is not what its hash is of"}},
		"an altered first row":          {change: replace(at(1), "person ada", "person eve"), want: []string{"1: row 1 was altered"}},
		"an altered last row":           {change: replace(at(35), "person ada", "person eve"), want: []string{"35: row 35 was altered"}},
		"altered details":               {change: replace(at(17), `"n":17`, `"n":18`), want: []string{"17: row 17 was altered"}},
		"an altered hash":               {change: replace(at(17), whole.rows[16].Hash, whole.rows[15].Hash), want: []string{"17: row 17 was altered"}},
		"an altered link to the row 16": {change: replace(at(17), whole.rows[15].Hash, whole.rows[14].Hash), want: []string{"17: row 17 was altered"}},
		"an altered envelope":           {change: replace(at(17), `"subject":"API/api17"`, `"subject":"API/other"`), want: []string{"17: row 17 was altered: its line is not written"}},
		"a field twice in an envelope":  {change: replace(at(17), `"id":"17"`, `"id":"1","id":"17"`), want: []string{"17: row 17 was altered: its line is not written"}},
		"a field more in a row":         {change: replace(at(17), `"actor":`, `"who":"eve","actor":`), want: []string{"17: where row 17 should be is an event that is no row", "17: row 17 is missing before row 18"}},
		"a line that is no JSON":        {change: replace(at(17), `{`, `(`), want: []string{"17: where row 17 should be is a line that is no event", "17: row 17 is missing before row 18"}},
		"a removed row":                 {change: remove(at(17), at(17)+1), want: []string{"17: row 17 is missing before row 18"}},
		"three removed rows":            {change: remove(at(15), at(15)+3), want: []string{"15: rows 15 to 17 are missing before row 18"}},
		"the removed first row":         {change: remove(0, 1), want: []string{"1: row 1 is missing before row 2"}},
		"a removed row with a head":     {change: remove(at(20), at(20)+1), want: []string{"20: row 20 is missing at the end: a head signed at 2026-05-06T07:08:29Z knows it"}},
		"a removed end":                 {change: func(l []string) []string { return slices.Delete(l, at(32), at(35)+1) }, want: []string{"32: rows 32 to 35 are missing at the end: a head signed", "31: row 31 is covered by no head"}},
		"a removed last row":            {change: remove(at(35), at(35)+1), want: []string{"35: row 35 is missing at the end: a head signed", "31: rows 31 to 34 are covered by no head"}},
		"an end removed with its head":  {change: func(l []string) []string { return l[:at(33)] }, want: []string{"31: rows 31 to 32 are covered by no head"}},
		"an end removed to a head":      {change: func(l []string) []string { return l[:at(31)] }, options: VerifyOptions{Heads: whole.heads[3:]}, want: []string{"31: rows 31 to 35 are missing at the end"}},
		"a removed last head":           {change: func(l []string) []string { return l[:38] }, want: []string{"31: rows 31 to 35 are covered by no head"}},
		"an inserted row": {change: func(l []string) []string { return slices.Insert(l, at(17), l[at(16)]) },
			want: []string{"16: row 16 was inserted: there is one with this number already"}},
		"an inserted row with a number of its own": {change: func(l []string) []string { return slices.Insert(l, at(17), l[at(30)]) },
			want: []string{"17: rows 17 to 29 are missing before row 30"}}, // and each row from 17 on is out of order
		"a row behind the last head": {change: func(l []string) []string {
			r, err := Chain(whole.rows[34], Row{Actor: "person eve", Action: "apply"})
			if err != nil {
				t.Fatal(err)
			}
			line, err := Event("log1", r)
			if err != nil {
				t.Fatal(err)
			}
			return append(l, "\n", string(line))
		}, want: []string{"36: row 36 is covered by no head"}},
		"two rows exchanged": {change: func(l []string) []string { l[at(16)], l[at(17)] = l[at(17)], l[at(16)]; return l },
			want: []string{"16: row 16 is missing before row 17", "16: row 16 is out of order: it stands behind row 17"}},
		"a row replaced, and all hashes behind it": {change: func([]string) []string { return rewritten },
			want: []string{"20: the head of row 20 is of another row 20: one of rows 11 to 20 was replaced", "30: the head of row 30 is of another row 30", "35: the head of row 35"}},
		"a row replaced with its own hash": {change: func(l []string) []string { l[at(14)] = rewritten[at(14)]; return l },
			want: []string{"14: row 14 was replaced or altered: row 15 was written behind one with another hash"}},
		"a forged head":             {change: func(l []string) []string { l[head10] = string(forgedLine) + "\n"; return l }, want: []string{"10: the head of row 10 is forged"}},
		"an altered head":           {change: replace(head10, `"log":"log1"`, `"log":"log1","log":"log1"`), want: []string{"10: the head of row 10 was altered"}},
		"a head by somebody else":   {change: func(l []string) []string { l[head10] = string(foreign) + "\n"; return l }, want: []string{"10: the head of row 10 is signed by key " + foreignID() + ", which is none of those trusted"}},
		"a head of another log":     {change: func(l []string) []string { l[head10] = string(otherLog) + "\n"; return l }, want: []string{"10: the head of row 10 is of another log: log2, not log1"}},
		"a head in another place":   {change: func(l []string) []string { l[head10], l[head10+1] = l[head10+1], l[head10]; return l }, want: []string{"10: the head of row 10 is out of order"}},
		"a head that is not JSON":   {change: replace(head10, `"seq":10`, `"seq":"x"`), want: []string{"10: behind row 10 is a head that cannot be read"}},
		"all rows of another log":   {change: func([]string) []string { return rewritten }, options: VerifyOptions{Heads: whole.heads[3:]}, want: []string{"20: the head of row 20", "30: ", "35: a head that was kept elsewhere of row 35 is of another row 35"}},
		"nothing left":              {change: func([]string) []string { return nil }, options: VerifyOptions{Heads: whole.heads[3:]}, want: []string{"1: rows 1 to 35 are missing at the end"}},
		"a beginning that is known": {change: func([]string) []string { return exported(t, whole, 21) }, options: VerifyOptions{From: 21, Heads: whole.heads}},
		"a beginning that is not":   {change: func([]string) []string { return exported(t, whole, 21) }, want: []string{"1: rows 1 to 20 are missing before row 21"}},
		"more than was asked for":   {change: func([]string) []string { return exported(t, whole, 21) }, options: VerifyOptions{From: 22}, want: []string{"21: row 21 is before the first row that was expected"}},
	} {
		c.options.Keys = []ed25519.PublicKey{public}
		changed := strings.Join(c.change(slices.Clone(lines)), "")
		report, err := Verify(strings.NewReader(changed), c.options)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := report.Findings
		if strings.HasPrefix(name, "an inserted row with") { // thirteen more, which say so of each
			got = got[:1]
		}
		fits := len(got) == len(c.want)
		for i := 0; fits && i < len(got); i++ {
			row, part, _ := strings.Cut(c.want[i], ": ")
			fits = fmt.Sprint(got[i].Row) == row && strings.Contains(got[i].Message, part)
		}
		if !fits {
			t.Errorf("%s: got %+v\nwant %q", name, got, c.want)
		}
	}
	report, err := Verify(strings.NewReader(strings.Join(lines, "")), VerifyOptions{Keys: []ed25519.PublicKey{keyOf(2).Public().(ed25519.PublicKey), public}})
	want := Report{Log: "log1", First: 1, Last: 35, Rows: 35, Heads: 4, Signed: 35, SignedAt: whole.heads[3].Time}
	if err != nil || fmt.Sprint(report) != fmt.Sprint(want) {
		t.Errorf("of the whole log: %+v, %v, want %+v", report, err, want)
	}
	if _, err := Verify(strings.NewReader(strings.Repeat("x", maxLineBytes+2)), VerifyOptions{}); err == nil {
		t.Error("a line without end is read")
	}
	heads, err := ReadHeads(strings.NewReader(strings.Join(lines, "")))
	if err != nil || len(heads) != 4 || !heads[3].Signed(public) {
		t.Errorf("heads of the file: %+v, %v", heads, err)
	}
}

func foreignID() string { return KeyID(keyOf(2).Public().(ed25519.PublicKey)) }

// TestEveryByteCounts alters each byte of a log.
func TestEveryByteCounts(t *testing.T) {
	key := keyOf(1)
	lines := []byte(strings.Join(exported(t, logOf(t, 2, key, nil), 1), ""))
	o := VerifyOptions{Keys: []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}}
	for i := range lines {
		for _, with := range []byte{lines[i] ^ 1, ' '} {
			if with == lines[i] {
				continue
			}
			changed := slices.Clone(lines)
			changed[i] = with
			if report, err := Verify(bytes.NewReader(changed), o); err == nil && len(report.Findings) == 0 {
				t.Errorf("byte %d, %q instead of %q in ...%s...: nothing is found", i, with, lines[i], changed[max(0, i-20):min(len(changed), i+20)])
			}
		}
	}
}

func FuzzVerify(f *testing.F) {
	key := keyOf(1)
	o := VerifyOptions{Keys: []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}}
	whole := strings.Join(exported(f, logOf(f, 2, key, nil), 1), "")
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Fuzz(func(t *testing.T, text string) {
		report, err := Verify(strings.NewReader(text), o)
		if err == nil && len(report.Findings) == 0 && report.Rows > 0 && !strings.HasPrefix(whole, strings.TrimSuffix(text, "\n")) {
			t.Errorf("another log is taken for ours: %+v", report)
		}
	})
}

// TestEventsAreCloudEvents holds the form fast: files of today are verified for years.
func TestEventsAreCloudEvents(t *testing.T) {
	got := strings.Join(exported(t, logOf(t, 1, keyOf(1), nil), 1), "")
	path := filepath.Join("testdata", "export.jsonl")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("got  %s\nwant %s (%v)", got, want, err)
	}
}

func TestSealer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		var mu sync.Mutex // guards m
		var sent []int64
		s := NewSealer(SealerDeps{Key: keyOf(1), Log: "log1", Now: time.Now, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Write: func(_ context.Context, f func(Log) error) error {
				mu.Lock()
				defer mu.Unlock()
				return f(m)
			},
			Send: func(_ context.Context, h Head) error {
				sent = append(sent, h.Seq)
				return nil
			}})
		add := func(n int) {
			for range n {
				mu.Lock()
				r, err := m.AppendAudit(Row{Time: time.Now(), Action: "apply"})
				mu.Unlock()
				if err != nil {
					t.Fatal(err)
				}
				s.Wrote(r.Seq)
			}
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		sealed := func(name string, want ...int64) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			var got []int64
			for _, h := range m.heads {
				got = append(got, h.Seq)
			}
			if !slices.Equal(got, want) || !slices.Equal(sent, want) {
				t.Errorf("%s: heads of rows %v, sent %v, want %v", name, got, sent, want)
			}
		}
		sealed("of an empty log")
		add(5)
		sealed("before a minute")
		time.Sleep(SealEvery + time.Second)
		sealed("after a minute", 5)
		time.Sleep(10 * SealEvery)
		sealed("while nothing happens", 5)
		add(SealEveryRows - 1)
		sealed("before a thousand rows", 5)
		add(1)
		sealed("after a thousand rows", 5, 5+SealEveryRows)
		add(2)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		sealed("at the end", 5, 5+SealEveryRows, 7+SealEveryRows)
	})
}
