package plainjson

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

type word string

type level int

func (l *level) UnmarshalText(b []byte) error {
	*l = level(len(b))
	return nil
}

type inner struct {
	Name word           `json:"name"`
	Of   []inner        `json:"of,omitzero"` // of itself: left to encoding/json
	Sub  map[word]*leaf `json:"sub,omitzero"`
}

type leaf struct {
	At  time.Time `json:"at,omitzero"`
	Yes bool      `json:"yes,omitzero"`
}

type sample struct {
	Text   string            `json:"text"`
	Small  int8              `json:"small"`
	Big    int64             `json:"big"`
	Yes    bool              `json:"yes"`
	At     time.Time         `json:"at"`
	Level  level             `json:"level"`
	Words  []word            `json:"words"`
	Leaves []leaf            `json:"leaves"`
	Leaf   *leaf             `json:"leaf"`
	Many   map[string]string `json:"many"`
	Inner  inner             `json:"inner"`
	Bytes  []byte            `json:"bytes"`
	Any    any               `json:"any"`
	Skip   string            `json:"-"`
	Plain  string
}

var ofSample = Of[sample]()

// same fails where Read and json.Unmarshal differ, and reports whether Read did it by itself.
func same(t *testing.T, b string) bool {
	t.Helper()
	var got, want sample
	gotErr, wantErr := ofSample.Read([]byte(b), &got), json.Unmarshal([]byte(b), &want)
	if (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error() {
		t.Fatalf("%s: got %v, want %v", b, gotErr, wantErr)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: got %+v, want %+v", b, got, want)
	}
	s := scanner{b: []byte(b)}
	return s.value(ofSample.root, reflect.ValueOf(new(sample)).Elem()) && s.at == len(b)
}

func TestReadsWhatUnmarshalReads(t *testing.T) {
	for _, c := range []struct {
		name, text string
		itself     bool
	}{
		{"nothing in it", `{}`, true},
		{"every plain field", `{"text":"a","small":-12,"big":9223372036854775807,"yes":true,"at":"2026-11-23T00:04:26.945057Z","level":"abc","words":["a","b","c"],"leaves":[{"at":"2026-11-23T00:04:26Z"},{"yes":false}],"leaf":{"yes":true},"many":{"a":"b","c":""},"inner":{"name":"x","sub":{"y":{}}},"Plain":"z"}`, true},
		{"another order", `{"yes":false,"text":"a"}`, true},
		{"empty list and table", `{"words":[],"many":{}}`, true},
		{"letters beyond ASCII", `{"text":"Grüße"}`, true},
		{"zero below none", `{"big":-0}`, true},
		{"an escape", `{"text":"a\u003cb"}`, false},
		{"no UTF-8", "{\"text\":\"\xff\"}", false},
		{"a control character", "{\"text\":\"\n\"}", false},
		{"space", `{"text": "a"}`, false},
		{"something behind it", `{"text":"a"} `, false},
		{"null", `{"leaf":null}`, false},
		{"bytes", `{"bytes":"YQ=="}`, false},
		{"anything", `{"any":{"a":1}}`, false},
		{"a type within itself", `{"inner":{"of":[{"name":"x"}]}}`, false},
		{"another case", `{"TEXT":"a"}`, false},
		{"a field without a place", `{"more":1}`, false},
		{"a field that is not to be read", `{"Skip":"a","-":"b"}`, false},
		{"a field twice", `{"leaf":{"yes":true},"leaf":{"at":"2026-11-23T00:04:26Z"}}`, false},
		{"a name twice in a table", `{"inner":{"sub":{"a":{"yes":true},"a":{}}}}`, false},
		{"too large for its field", `{"small":128}`, false},
		{"too large for any", `{"big":9223372036854775808}`, false},
		{"a fraction", `{"big":1.0}`, false},
		{"a leading zero", `{"big":01}`, false},
		{"no number", `{"big":-}`, false},
		{"no time", `{"at":"yesterday"}`, false},
		{"cut off", `{"text":"a`, false},
		{"a comma too many", `{"text":"a",}`, false},
		{"another type", `{"text":1}`, false},
		{"nothing", ``, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if itself := same(t, c.text); itself != c.itself {
				t.Fatalf("read by itself: %v, want %v", itself, c.itself)
			}
		})
	}
	long := `{"words":["` + strings.Repeat(`word","`, wholeBytes) + `"]}`
	if !same(t, long) {
		t.Fatal("a long text is left to encoding/json")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"text":"a","small":-12,"yes":true,"at":"2026-11-23T00:04:26.945057Z","level":"abc","words":["a"],"leaves":[{"yes":false}],"leaf":{"yes":true},"many":{"a":"b"}}`)
	f.Add(`{"text":"a","text":"b","big":1e3}`)
	f.Add(`{"inner":{"name":"x","of":[],"sub":{"y":{"at":"2026-11-23T00:04:26+00:60"}}}}`)
	f.Fuzz(func(t *testing.T, b string) { same(t, b) })
}

func BenchmarkRead(b *testing.B) {
	text := []byte(`{"text":"app-00001-1","at":"2026-11-23T00:04:26.945057Z","words":["product-1","plan","active"],"leaves":[{"at":"2026-11-23T00:04:26.945057Z"},{"at":"2026-11-23T00:04:26.945057Z","yes":true}]}`)
	b.Run("plainjson", func(b *testing.B) {
		for b.Loop() {
			if err := ofSample.Read(text, new(sample)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		for b.Loop() {
			if err := json.Unmarshal(text, new(sample)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
