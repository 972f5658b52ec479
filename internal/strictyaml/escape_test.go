package strictyaml

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// What YAML may have as an escape only is written as one, and the rest as ever.
func TestFromJSONEscapesControls(t *testing.T) {
	for name, c := range map[string]struct{ json, want string }{
		"ESC":              {`{"a":"x\u001b[2J","b":"plain"}`, "a: \"x\\u001b[2J\"\nb: plain\n"},
		"NUL":              {`{"a":"x\u0000"}`, "a: \"x\\u0000\"\n"},
		"C1 and DEL":       {"{\"a\":[\"\u009b2J\",\"\u007f\"]}", "\"\\u009b2J\""},
		"in several lines": {`{"a":"one\n\u001btwo\n"}`, `"one\n\u001btwo\n"`},
		"in a key":         {`{"a\u001b":"b"}`, `\u001b`},
		"like a stand-in":  {`{"a":"standin0z","b":"\u001b"}`, "a: standin0z\nb: \"\\u001b\"\n"},
	} {
		out, err := FromJSON([]byte(c.json))
		if err != nil || !strings.Contains(string(out), c.want) || strings.ContainsFunc(string(out), unwritable) {
			t.Errorf("%s: %q, %v, want %q", name, out, err, c.want)
			continue
		}
		var want, got any
		if err := json.Unmarshal([]byte(c.json), &want); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(out, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: reads as %#v, %v, want %#v", name, got, err, want)
		}
	}
}
