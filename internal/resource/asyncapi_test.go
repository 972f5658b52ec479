package resource

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const versionText = "apiVersion: sluice/v1\nkind: Version\nmetadata: {name: orders.v2}\nspec: {contract: {file: contract.yaml}}\n"

// read writes files into a directory and reads them.
func readFiles(t *testing.T, files map[string]string) (dir string, set *Set, problems []string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, found := Read(dir)
	for _, p := range found {
		problems = append(problems, strings.ReplaceAll(p.String(), dir+string(filepath.Separator), ""))
	}
	return dir, set, problems
}

func TestAsyncAPI(t *testing.T) {
	const contract = `asyncapi: 3.0.0
info: {title: Orders, version: 1.0.0}
x-common: &common {description: shared}
channels:
  placed: {address: orders.placed, description: what is sent, messages: {m: {$ref: 'parts/messages.yaml#/Placed'}}}
  commands: {messages: {m: {payload: {type: object}}}}
  both: {address: orders.both, messages: {m: {<<: *common, payload: {type: string}}}}
  idle: {address: orders.idle}
operations:
  a: {action: send, channel: {$ref: '#/channels/placed'}}
  b: {action: receive, channel: {$ref: '#/channels/commands'}}
  c: {action: send, channel: {$ref: '#/channels/both'}}
  d: {action: receive, channel: {$ref: '#/channels/both'}}
`
	parts := "Placed: &m\n  payload: {type: string}\nother: *m\n"
	dir, set, problems := readFiles(t, map[string]string{"version.yaml": versionText, "contract.yaml": contract, "parts/messages.yaml": parts})
	if want := []string{"contract.yaml:8:3: warning: channel idle has no operation, so that nobody may read or write it: add an operation with send or receive"}; !slices.Equal(problems, want) {
		t.Errorf("got %q, want %q", problems, want)
	}
	v := set.Versions[0]
	want := map[string]Channel{
		"placed":   {Address: "orders.placed", Description: "what is sent", Send: true},
		"commands": {Receive: true},
		"both":     {Address: "orders.both", Send: true, Receive: true},
	}
	if got := v.Spec.Contract.Channels; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := ExposedTopic(v, "commands"); got != "commands.v2" {
		t.Errorf("a channel without an address: got %q", got)
	}
	for field, place := range map[string]string{"address": "contract.yaml:5:12", "": "contract.yaml:5:3", "nothing": "contract.yaml:5:3"} {
		p := ChannelProblem(v, "placed", field, "m", "f")
		if got := strings.TrimPrefix(fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column), dir+string(filepath.Separator)); got != place {
			t.Errorf("%q: got %s, want %s", field, got, place)
		}
	}
	for _, file := range []string{"contract.yaml", "parts/messages.yaml", "version.yaml"} {
		if !slices.Contains(set.Files, filepath.Join(dir, filepath.FromSlash(file))) {
			t.Errorf("a change of %s is not noticed: %q", file, set.Files)
		}
	}
}

func TestAsyncAPIProblems(t *testing.T) {
	const head = "asyncapi: 3.0.0\ninfo: {title: Orders, version: 1.0.0}\n"
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  []string // parts of the problems
	}{
		{"with the place in the contract", map[string]string{"version.yaml": versionText, "contract.yaml": head + "channels:\n  placed:\n    adress: a\n"},
			[]string{"contract.yaml:5:5: channels.placed.adress is not a field that AsyncAPI has here [asyncapi-unknown-field]: did you mean address?"}},
		{"in a part of it", map[string]string{"version.yaml": versionText, "contract.yaml": head + "channels: {placed: {address: a, messages: {m: {$ref: 'part.yaml#/M'}}}}\noperations: {a: {action: send, channel: {$ref: '#/channels/placed'}}}\n", "part.yaml": "M:\n  payload: {$ref: '#/N'}\n"},
			[]string{`part.yaml:2:13: "#/N" refers to nothing [ref-dangling]`}},
		{"a part that is not there", map[string]string{"version.yaml": versionText, "contract.yaml": head + "channels: {placed: {address: a, messages: {m: {$ref: 'part.yaml#/M'}}}}\noperations: {a: {action: send, channel: {$ref: '#/channels/placed'}}}\n"},
			[]string{"cannot be read: no such file or directory [ref-unreadable]"}},
		{"from elsewhere: told, not fetched", map[string]string{"version.yaml": versionText, "contract.yaml": head + "channels: {placed: {address: a, messages: {m: {$ref: 'https://example.com/m.yaml#/M'}}}}\noperations: {a: {action: send, channel: {$ref: '#/channels/placed'}}}\n"},
			[]string{"contract.yaml:3:48: warning: https://example.com/m.yaml is outside of this document and is not read [ref-not-read]"}},
		{"without a right", map[string]string{"version.yaml": versionText, "contract.yaml": head + "channels: {placed: {address: a}}\n"},
			[]string{"contract.yaml:3:12: warning: channel placed has no operation", "version.yaml:4:8: Version orders.v2: spec.contract: has no channels"}},
		{"that nobody names", map[string]string{"other.yaml": head}, []string{"other.yaml:1:1: is an AsyncAPI document that no Version names"}},
		{"in JSON", map[string]string{"version.yaml": strings.Replace(versionText, "contract.yaml", "contract.json", 1), "contract.json": "{\n  \"info\": {\"title\": \"x\"},\n  \"asyncapi\": \"3.0.0\"\n}\n"},
			[]string{`contract.json:2:3: info has no "version" [asyncapi-required]`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, got := readFiles(t, tc.files)
			ok := len(got) == len(tc.want)
			for i := range min(len(got), len(tc.want)) {
				ok = ok && strings.Contains(got[i], tc.want[i])
			}
			if !ok {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
