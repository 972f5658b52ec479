package cli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The values of -o.
const (
	formatText = "text"
	formatJSON = "json"
	formatRaw  = "raw"
)

// shortValue is how much of a value a short line shows, in characters.
const shortValue = 90

// printer writes records for people or programs.
type printer struct {
	w      io.Writer
	style  style
	format string
	topic  bool // name the topic of each record
	short  bool // without time, and clipped to a line
}

func (p *printer) print(r *kgo.Record) error {
	switch p.format {
	case formatRaw:
		_, err := p.w.Write(append(r.Value[:len(r.Value):len(r.Value)], '\n'))
		return err
	case formatJSON:
		return p.json(r)
	}
	var b strings.Builder
	if !p.short {
		b.WriteString(p.style.dim(r.Timestamp.UTC().Format("2006-01-02T15:04:05.000Z")) + "  ")
	}
	if p.topic {
		b.WriteString(r.Topic + " ")
	}
	b.WriteString(p.style.cyan(fmt.Sprintf("%d@%d", r.Partition, r.Offset)) + "  ")
	if r.Key != nil {
		b.WriteString(p.style.bold(readable(r.Key)))
	} else {
		b.WriteString(p.style.dim("-"))
	}
	b.WriteString("  ")
	if r.Value != nil {
		value := p.value(r.Value)
		if text := []rune(readable(r.Value)); p.short && len(text) > shortValue {
			value = string(text[:shortValue]) + p.style.dim("…")
		}
		b.WriteString(value)
	} else {
		b.WriteString(p.style.dim("null"))
	}
	for _, h := range r.Headers {
		b.WriteString("  " + p.style.dim(readable([]byte(h.Key))+"="+readable(h.Value)))
	}
	b.WriteByte('\n')
	_, err := io.WriteString(p.w, b.String())
	return err
}

// value colours the keys of a JSON object.
func (p *printer) value(v []byte) string {
	text := readable(v)
	if !p.style.on || len(v) == 0 || v[0] != '{' || !json.Valid(v) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] != '"' {
			b.WriteByte(text[i])
			i++
			continue
		}
		end := i + 1
		for end < len(text) && text[end] != '"' {
			if text[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end+1, len(text))
		if rest := strings.TrimLeft(text[end:], " "); strings.HasPrefix(rest, ":") {
			b.WriteString(p.style.dim(text[i:end]))
		} else {
			b.WriteString(p.style.green(text[i:end]))
		}
		i = end
	}
	return b.String()
}

// readable keeps a record on its line and away from the terminal's controls;
// bytes that are not text are shown in base64.
func readable(b []byte) string {
	if !utf8.Valid(b) {
		return "base64:" + base64.StdEncoding.EncodeToString(b)
	}
	if strings.IndexFunc(string(b), func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return string(b)
	}
	var out strings.Builder
	for _, r := range string(b) {
		switch {
		case unicode.IsPrint(r):
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == '\r':
			out.WriteString(`\r`)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}

// recordJSON is a record as -o json prints it. A value that is JSON stands as
// such, other text as a string, other bytes in base64 under another name.
type recordJSON struct {
	Topic       string            `json:"topic"`
	Partition   int32             `json:"partition"`
	Offset      int64             `json:"offset"`
	Timestamp   string            `json:"timestamp"`
	Key         any               `json:"key"`
	KeyBase64   string            `json:"key_base64,omitempty"`
	Value       any               `json:"value"`
	ValueBase64 string            `json:"value_base64,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
}

func (p *printer) json(r *kgo.Record) error {
	out := recordJSON{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UTC().Format(time.RFC3339Nano)}
	switch {
	case r.Key == nil:
	case utf8.Valid(r.Key):
		out.Key = string(r.Key)
	default:
		out.KeyBase64 = base64.StdEncoding.EncodeToString(r.Key)
	}
	switch {
	case r.Value == nil:
	case json.Valid(r.Value):
		out.Value = json.RawMessage(r.Value)
	case utf8.Valid(r.Value):
		out.Value = string(r.Value)
	default:
		out.ValueBase64 = base64.StdEncoding.EncodeToString(r.Value)
	}
	for _, h := range r.Headers {
		if out.Headers == nil {
			out.Headers = map[string]string{}
		}
		out.Headers[h.Key] = readable(h.Value)
	}
	encoder := json.NewEncoder(p.w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}
