package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// zero is the hash before the first row.
var zero = strings.Repeat("0", 2*sha256.Size)

// Chain returns a row as it is written behind another one, or as the first one when
// that is the zero Row: numbered, with its time in UTC and whole microseconds, texts
// in valid UTF-8 without zero bytes, and the two hashes. It fails when Details are no
// JSON object.
func Chain(previous, r Row) (Row, error) {
	r.Seq, r.Previous = previous.Seq+1, previous.Hash
	if previous.Seq == 0 {
		r.Previous = zero
	}
	r.Time = r.Time.UTC().Truncate(time.Microsecond)
	for _, s := range []*string{&r.Actor, &r.Action, &r.Kind, &r.Name, &r.Organisation, &r.Team, &r.Result, &r.Reason, &r.Request, &r.Address} {
		*s = clean(*s)
	}
	if len(r.Details) > 0 {
		var compact bytes.Buffer
		if err := json.Compact(&compact, bytes.ToValidUTF8(r.Details, []byte("\ufffd"))); err != nil {
			return Row{}, fmt.Errorf("audit row of %q: details: %w", r.Action, err)
		}
		if r.Details = compact.Bytes(); r.Details[0] != '{' {
			return Row{}, fmt.Errorf("audit row of %q: details are not a JSON object", r.Action)
		}
	}
	var err error
	if r.text, err = text(r); err != nil {
		return Row{}, fmt.Errorf("audit row of %q: %w", r.Action, err)
	}
	r.Hash = hash(r.text)
	return r, nil
}

// clean returns a text that every database and every reader of JSON takes as it is.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}

// text returns a row's JSON without its hash.
func text(r Row) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	type plain Row // without Hash, which follows
	if err := e.Encode(struct {
		plain
		Hash string `json:"hash,omitzero"`
	}{plain: plain(r)}); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Text returns the row's JSON without its hash, byte for byte as it was when it was
// chained: what Hash is the SHA-256 of.
func (r Row) Text() string { return r.text }

// Parse returns the row with this text and hash, as a store keeps them. It does not
// look whether they belong together; see Verifier.
func Parse(text, hash string) (Row, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	var r Row
	if err := d.Decode(&r); err != nil {
		return Row{}, err
	}
	if _, err := d.Token(); err == nil || d.More() {
		return Row{}, fmt.Errorf("there is more than one value")
	}
	if r.Hash != "" {
		return Row{}, fmt.Errorf("the text of a row holds no hash of itself")
	}
	r.text, r.Hash = text, hash
	return r, nil
}
