package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Finding is one manipulation.
type Finding struct {
	// Row is the number of the row that it is about, 0 where it is about none.
	Row int64
	// Line is where in the file, from 1 on; 0 behind its end.
	Line int
	// Message says what is wrong, and names the row.
	Message string
}

// Report is what was found out about a log.
type Report struct {
	// Log is its id.
	Log string
	// First and Last are the numbers of the rows at both ends; Rows is how many there are.
	First, Last, Rows int64
	// Heads is how many heads were good, Signed the last row that one of them covers
	// and SignedAt when that was signed.
	Heads    int
	Signed   int64
	SignedAt time.Time
	// Findings are the manipulations in the order of the file: none in a log that is
	// whole. More than MaxFindings are not told.
	Findings []Finding
}

// MaxFindings is how many a Report has at most.
const MaxFindings = 100

// maxLineBytes bounds a line of an exported file.
const maxLineBytes = 16 << 20

// VerifyOptions is what Verify goes by.
type VerifyOptions struct {
	// Keys are whose heads count. Without any, whoever can write rows can write others.
	Keys []ed25519.PublicKey
	// Heads are kept elsewhere: the only proof against a log whose end was cut off
	// together with its heads.
	Heads []Head
	// From is the first row that is expected, 1 by default.
	From int64
}

// Verify reads an exported log and names every manipulation that it finds. Its error
// says that the file cannot be read at all.
func Verify(file io.Reader, o VerifyOptions) (Report, error) {
	v := newVerifier(o)
	lines := bufio.NewReaderSize(file, 64<<10)
	for n := 1; ; n++ {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return v.report, fmt.Errorf("read line %d of the audit log: %w", n, err)
		}
		v.line = n
		v.read(line)
	}
	return v.done(), nil
}

// readLine returns a line without its end; the last one may have none.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(line, []byte("\n")), nil
		case len(line) > maxLineBytes:
			return nil, fmt.Errorf("it has more than %d bytes", maxLineBytes)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		default:
			return nil, err
		}
	}
}

// ReadHeads returns the heads in a file of lines: an exported log, or what was kept
// of one. Lines of rows are passed over.
func ReadHeads(file io.Reader) ([]Head, error) {
	var heads []Head
	lines := bufio.NewReaderSize(file, 64<<10)
	for n := 1; ; n++ {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return heads, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read line %d: %w", n, err)
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("read line %d: %w", n, err)
		}
		if e.Type != headType {
			continue
		}
		var h Head
		if err := json.Unmarshal(e.Data, &h); err != nil {
			return nil, fmt.Errorf("read line %d: %w", n, err)
		}
		heads = append(heads, h)
	}
}

// verifier goes through a log, row by row.
type verifier struct {
	options VerifyOptions
	report  Report
	line    int
	next    int64 // the number that the next row should have
	last    Row   // the one before, in the file
	lastBad bool  // its content is not what its hash is of, so that nothing follows from either
	missing map[int64]bool
	seen    map[int64]bool   // rows that were taken for missing and came later
	kept    map[int64][]Head // Options.Heads by row
	forged  int64            // up to here findings have told that rows do not fit a head
}

func newVerifier(o VerifyOptions) *verifier {
	v := &verifier{options: o, next: max(o.From, 1), missing: map[int64]bool{}, seen: map[int64]bool{}, kept: map[int64][]Head{}}
	for _, h := range o.Heads {
		v.kept[h.Seq] = append(v.kept[h.Seq], h)
	}
	return v
}

func (v *verifier) find(row int64, format string, args ...any) {
	if len(v.report.Findings) < MaxFindings {
		v.report.Findings = append(v.report.Findings, Finding{Row: row, Line: v.line, Message: fmt.Sprintf(format, args...)})
	}
}

// read takes a line.
func (v *verifier) read(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		v.find(v.next, "where row %d should be is a line that is no event: %v", v.next, err)
		return
	}
	if e.Type == headType {
		var h Head
		if err := json.Unmarshal(e.Data, &h); err != nil {
			v.find(v.report.Last, "behind row %d is a head that cannot be read: %v", v.report.Last, err)
			return
		}
		if again, err := HeadEvent(h); err != nil || !bytes.Equal(again, line) {
			v.find(h.Seq, "the head of row %d was altered: it is not written as it was exported", h.Seq)
			return
		}
		v.head(h)
		return
	}
	// The row's bytes, not what we would write for it: so the rules of JSON need not be ours.
	const mark = `,"hash":"`
	data := string(e.Data)
	at := max(strings.LastIndex(data, mark), 0)
	hash, ok := strings.CutSuffix(strings.TrimPrefix(data[at:], mark), `"}`)
	row, err := Parse(data[:at]+"}", hash)
	if !ok || err != nil {
		v.find(v.next, "where row %d should be is an event that is no row: %v", v.next, err)
		return
	}
	log := strings.TrimPrefix(e.Source, Source(""))
	if v.report.Log == "" {
		v.report.Log = log
	}
	v.row(row)
	if again, err := Event(v.report.Log, row); err != nil || !bytes.Equal(again, line) {
		v.find(row.Seq, "row %d was altered: its line is not written as it was exported", row.Seq)
	}
}

// row takes a row.
func (v *verifier) row(r Row) {
	bad := hash(r.text) != r.Hash
	switch {
	case r.Seq > v.next:
		for n := v.next; n < r.Seq && len(v.missing) < MaxFindings; n++ {
			v.missing[n] = true
		}
		if r.Seq == v.next+1 {
			v.find(v.next, "row %d is missing before row %d", v.next, r.Seq)
		} else {
			v.find(v.next, "rows %d to %d are missing before row %d", v.next, r.Seq-1, r.Seq)
		}
	case r.Seq < v.next:
		switch {
		case v.missing[r.Seq]:
			delete(v.missing, r.Seq)
			v.seen[r.Seq] = true
			v.find(r.Seq, "row %d is out of order: it stands behind row %d", r.Seq, v.report.Last)
		case r.Seq < max(v.options.From, 1):
			v.find(r.Seq, "row %d is before the first row that was expected", r.Seq)
		default:
			v.find(r.Seq, "row %d was inserted: there is one with this number already", r.Seq)
		}
		if bad {
			v.find(r.Seq, "row %d was altered: its content is not what its hash is of", r.Seq)
		}
		return // the chain goes on with the row that is next
	}
	if bad {
		v.find(r.Seq, "row %d was altered: its content is not what its hash is of", r.Seq)
	}
	switch {
	case r.Seq == 1 && r.Previous != zero:
		v.find(1, "row 1 was altered: it says that there is a row before it")
	case r.Seq > 1 && v.last.Seq == r.Seq-1 && r.Previous != v.last.Hash && !bad && !v.lastBad:
		v.find(v.last.Seq, "row %d was replaced or altered: row %d was written behind one with another hash", v.last.Seq, r.Seq)
	}
	v.last, v.lastBad = r, bad
	v.next = r.Seq + 1
	v.report.Rows++
	if v.report.First == 0 {
		v.report.First = r.Seq
	}
	v.report.Last = r.Seq
	for _, h := range v.kept[r.Seq] {
		v.check(h, "a head that was kept elsewhere")
	}
	delete(v.kept, r.Seq)
}

// head takes a head of the file: it stands behind its row.
func (v *verifier) head(h Head) {
	switch {
	case h.Seq > v.report.Last:
		if v.trusted(h, "the head") {
			v.cutOff(h)
		}
	case h.Seq < v.report.Last:
		v.find(h.Seq, "the head of row %d is out of order: it stands behind row %d", h.Seq, v.report.Last)
	default:
		v.check(h, "the head")
	}
}

// cutOff tells that a head knows of rows that are not there.
func (v *verifier) cutOff(h Head) {
	if from := v.next; from == h.Seq {
		v.find(from, "row %d is missing at the end: a head signed at %s knows it", from, h.Time.Format(time.RFC3339))
	} else {
		v.find(from, "rows %d to %d are missing at the end: a head signed at %s knows them", from, h.Seq, h.Time.Format(time.RFC3339))
	}
	for n := v.next; n <= h.Seq && len(v.missing) < MaxFindings; n++ {
		v.missing[n] = true
	}
	v.next = max(v.next, h.Seq+1)
}

// trusted says whether a head is somebody's whom we trust.
func (v *verifier) trusted(h Head, what string) bool {
	if v.report.Log != "" && h.Log != v.report.Log {
		v.find(h.Seq, "%s of row %d is of another log: %s, not %s", what, h.Seq, h.Log, v.report.Log)
		return false
	}
	if slices.ContainsFunc(v.options.Keys, h.Signed) {
		return true
	}
	if slices.ContainsFunc(v.options.Keys, func(k ed25519.PublicKey) bool { return KeyID(k) == h.Key }) {
		v.find(h.Seq, "%s of row %d is forged: its signature is not that of key %s", what, h.Seq, h.Key)
	} else {
		v.find(h.Seq, "%s of row %d is signed by key %s, which is none of those trusted", what, h.Seq, h.Key)
	}
	return false
}

// check compares a head with the row that has just been read.
func (v *verifier) check(h Head, what string) {
	if !v.trusted(h, what) {
		return
	}
	if h.Hash != v.last.Hash {
		if v.forged < h.Seq {
			v.find(h.Seq, "%s of row %d is of another row %d: one of rows %d to %d was replaced, and the hashes behind it made anew", what, h.Seq, h.Seq, max(v.report.Signed+1, v.report.First), h.Seq)
		}
		v.forged = h.Seq
		return
	}
	v.report.Heads++
	v.report.Signed, v.report.SignedAt = h.Seq, h.Time
}

// done looks at the end of the log.
func (v *verifier) done() Report {
	v.line = 0
	kept := slices.SortedFunc(func(yield func(Head) bool) {
		for _, heads := range v.kept {
			for _, h := range heads {
				if !yield(h) {
					return
				}
			}
		}
	}, func(a, b Head) int { return int(b.Seq - a.Seq) })
	for _, h := range kept {
		switch {
		case h.Seq >= v.next && v.trusted(h, "a head that was kept elsewhere"):
			v.cutOff(h)
		case h.Seq >= max(v.options.From, 1) && h.Seq < v.next && !v.missing[h.Seq] && !v.seen[h.Seq]:
			v.find(h.Seq, "row %d is missing: a head that was kept elsewhere knows it", h.Seq)
		}
	}
	if v.report.Rows > 0 && v.report.Signed < v.report.Last && v.forged < v.report.Last {
		first := max(v.report.Signed+1, v.report.First)
		if first == v.report.Last {
			v.find(first, "row %d is covered by no head, so that nothing proves it: it was added behind the last one, or a head was removed", first)
		} else {
			v.find(first, "rows %d to %d are covered by no head, so that nothing proves them: they were added behind the last one, or a head was removed", first, v.report.Last)
		}
	}
	return v.report
}
