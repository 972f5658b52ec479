package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
)

// The types of our events.
const (
	rowType  = "sluice.audit." // and the action
	headType = "sluice.audit-head"
)

// event is a CloudEvent 1.0 in JSON. data comes last: a line is written and read as
// it is, so that the bytes of a row stay those of which its hash is.
type event struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject,omitzero"`
	Time        time.Time       `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Data        json.RawMessage `json:"data"`
}

// Source is the source of a log's events.
func Source(log string) string { return "/sluice/" + log }

// Event returns a row as a CloudEvent 1.0 in JSON, without an end of line. Its data
// is the row: Text with its hash as the last field.
func Event(log string, r Row) ([]byte, error) {
	return encode(envelope(log, r), r.text[:len(r.text)-1]+`,"hash":"`+r.Hash+`"}`)
}

func envelope(log string, r Row) event {
	e := event{SpecVersion: "1.0", ID: strconv.FormatInt(r.Seq, 10), Source: Source(log), Type: rowType + r.Action, Time: r.Time, ContentType: "application/json"}
	if r.Kind != "" {
		e.Subject = r.Kind + "/" + r.Name
	}
	return e
}

// HeadEvent returns a head as a CloudEvent 1.0 in JSON, without an end of line.
func HeadEvent(h Head) ([]byte, error) {
	var b strings.Builder
	c := json.NewEncoder(&b)
	c.SetEscapeHTML(false)
	if err := c.Encode(h); err != nil {
		return nil, err
	}
	return encode(headEnvelope(h), strings.TrimSuffix(b.String(), "\n"))
}

func headEnvelope(h Head) event {
	return event{SpecVersion: "1.0", ID: "head-" + strconv.FormatInt(h.Seq, 10) + "-" + h.Key, Source: Source(h.Log), Type: headType, Time: h.Time, ContentType: "application/json"}
}

// encode writes an event without letting the encoder touch its data.
func encode(e event, data string) ([]byte, error) {
	e.Data = json.RawMessage("null")
	var b bytes.Buffer
	c := json.NewEncoder(&b)
	c.SetEscapeHTML(false)
	if err := c.Encode(e); err != nil {
		return nil, fmt.Errorf("write an audit event: %w", err)
	}
	return append(bytes.TrimSuffix(b.Bytes(), []byte("null}\n")), data+"}"...), nil
}

// Export writes the rows from one number to another, 0 for all, as CloudEvents, one a
// line, each head behind its row, and returns how many rows there were. What was
// written behind the last head is not covered: seal the log first (see Sealer), and
// end with the row that it sealed.
func Export(out io.Writer, r Reader, log string, from, to int64) (int64, error) {
	beyond := func(seq int64) bool { return to > 0 && seq > to }
	w := bufio.NewWriter(out)
	line := func(b []byte, err error) error {
		if err == nil {
			_, err = w.Write(append(b, '\n'))
		}
		return err
	}
	var failed error
	head, stop := iter.Pull(iter.Seq[Head](func(yield func(Head) bool) {
		failed = r.AuditHeads(from, func(h Head) error {
			if beyond(h.Seq) || !yield(h) {
				return io.EOF
			}
			return nil
		})
		if errors.Is(failed, io.EOF) {
			failed = nil
		}
	}))
	defer stop()
	var rows int64
	h, more := head()
	err := r.AuditFrom(from, func(row Row) error {
		if beyond(row.Seq) {
			return io.EOF
		}
		rows++
		if err := line(Event(log, row)); err != nil {
			return err
		}
		for ; more && h.Seq <= row.Seq; h, more = head() {
			if err := line(HeadEvent(h)); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, io.EOF) {
		err = nil
	}
	for ; err == nil && more; h, more = head() { // of rows that are gone: whoever verifies is to see it
		err = line(HeadEvent(h))
	}
	if err == nil {
		err = failed
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return rows, fmt.Errorf("export the audit log: %w", err)
	}
	return rows, nil
}
