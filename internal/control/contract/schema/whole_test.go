package schema

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"sluice/internal/control/contract/tree"
)

func file(name, text string, imports ...Import) Import {
	return Import{Name: name, Registered: Registered{Kind: Protobuf, Text: text, References: imports}}
}

const orderProto = `syntax = "proto3";
package shop;
import "common/money.proto";
import "common/unit.proto";
import "shop/party.proto";
import "google/protobuf/timestamp.proto";
// What was ordered.
message Order {
  string id = 1;
  // Who pays.
  Party buyer = 2 [json_name = "customer"];
  common.money.Amount total = 3;
  repeated .common.money.Unit units = 4 [packed = false];
  map<string, common.money.Amount> parts = 5;
  oneof how { string card = 6; common.money.Amount.Coins cash = 7; }
  optional int32 gift = 8;
  google.protobuf.Timestamp placed_at = 9;
  State state = 10;
  message Line { common.money.Amount each = 1; Order of = 2; }
  repeated Line lines = 11;
  reserved 20 to 22, 30; reserved "old";
}
message Cancelled { string id = 1; common_money clash = 2; }
message common_money { bytes x = 1; }
enum State { option allow_alias = true; UNKNOWN = 0; NONE = 0; PAID = 1; reserved 5; }
service Orders { rpc Get(Order) returns (Order); }
`

var orderImports = []Import{
	file("common/money.proto", `syntax = "proto3";
package common.money;
import "common/unit.proto";
message Amount { int64 cents = 1; Unit unit = 2; message Coins { repeated int32 of = 1; Amount sum = 2; } }
message Unused { string canary = 1; }
`, file("common/unit.proto", "syntax = \"proto3\";\npackage common.money;\nenum Unit { UNKNOWN = 0; EUR = 1; }\n")),
	file("shop/party.proto", "syntax = \"proto3\";\npackage shop;\nmessage Party { string name = 1; Party parent = 2; }\n"),
}

// Records of the several files are those of the one, in both directions, whichever type they are of.
func TestProtobufOfSeveralFilesIsPutIntoOne(t *testing.T) {
	several := New(protoFormat, tree.Text(orderProto), nil, orderImports...)
	text, err := Whole(Registered{Kind: Protobuf, Text: orderProto, References: orderImports})
	if err != nil {
		t.Fatal(err)
	}
	one := New(protoFormat, tree.Text(text), nil)
	a, found := several.protobuf()
	if found != nil {
		t.Fatal(found.Message)
	}
	b, found := one.protobuf()
	if found != nil {
		t.Fatalf("%s\n%s", found.Message, text)
	}
	if b.Imports().Len() != 1 || strings.Contains(text, "canary") || strings.Contains(text, "service") {
		t.Errorf("it has too much:\n%s", text)
	}
	for _, want := range []string{"// What was ordered.", "// Who pays.", `reserved "old";`, "message common_money_ {"} {
		if !strings.Contains(text, want) {
			t.Errorf("it has no %q:\n%s", want, text)
		}
	}
	for i, c := range []string{
		`{"id":"1","customer":{"name":"x","parent":{"name":"y"}},"total":{"cents":"5","unit":"EUR"},"units":["EUR","UNKNOWN"],"parts":{"a":{"cents":"1"}},"cash":{"of":[1,2],"sum":{"unit":"EUR"}},"gift":0,"placedAt":"2026-03-01T12:00:00Z","state":"PAID","lines":[{"each":{"cents":"2"},"of":{"id":"3"}}]}`,
		`{"id":"2","clash":{"x":"AAE="}}`, `{"x":"AAE="}`,
	} { // the messages in their order, by which records name them
		from, to := dynamicpb.NewMessage(a.Messages().Get(i)), dynamicpb.NewMessage(b.Messages().Get(i))
		if err := protojson.Unmarshal([]byte(c), from); err != nil {
			t.Fatal(err)
		}
		if err := protojson.Unmarshal([]byte(c), to); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		deterministic := proto.MarshalOptions{Deterministic: true}
		x, err := deterministic.Marshal(from)
		y, yerr := deterministic.Marshal(to)
		if err != nil || yerr != nil || !bytes.Equal(x, y) || from.Descriptor().FullName() != to.Descriptor().FullName() {
			t.Errorf("%s is %x of %s and %x of %s: %v, %v", c, x, from.Descriptor().FullName(), y, to.Descriptor().FullName(), err, yerr)
		}
	}
}

func TestWhatProtobufCannotBeInOneFile(t *testing.T) {
	chain := file("f0.proto", "syntax = \"proto3\";\nmessage F0 {}\n")
	for name, c := range map[string]struct {
		text    string
		imports []Import
		want    string
	}{
		"proto2 in proto2": {"syntax = \"proto2\";\nimport \"a.proto\";\nmessage B { required a.A a = 1; optional string s = 2 [default = \"\\\"x\\n\"]; optional double d = 3 [default = -inf]; extensions 100 to 199; }",
			[]Import{file("a.proto", "syntax = \"proto2\";\npackage a;\nmessage A { optional E e = 1 [default = Y]; enum E { X = -1; Y = 1; } }")}, ""},
		"no package":                    {"syntax = \"proto3\";\npackage p;\nimport \"f0.proto\";\nmessage A { F0 f = 1; }", []Import{chain}, ""},
		"another syntax":                {"syntax = \"proto3\";\nimport \"a.proto\";\nmessage B { a.A a = 1; }", []Import{file("a.proto", "syntax = \"proto2\";\npackage a;\nmessage A { required int32 x = 1; }")}, "another syntax"},
		"a group":                       {"syntax = \"proto2\";\nimport \"f0.proto\";\nmessage B { repeated group G = 1 { optional int32 x = 1; } }", []Import{chain}, "group"},
		"what is not there":             {"syntax = \"proto3\";\nimport \"a.proto\";\nmessage B { a.A a = 1; }", nil, "is not Protobuf"},
		"two versions of one":           {"syntax = \"proto3\";\nimport \"f0.proto\";\nmessage B { F0 a = 1; }", []Import{chain, file("f0.proto", "syntax = \"proto3\";\n")}, "two versions of f0.proto"},
		"an import that imports itself": {"syntax = \"proto3\";\nimport \"a.proto\";\nmessage B {}", []Import{file("a.proto", "syntax = \"proto3\";\nimport \"a.proto\";")}, "cycle"},
	} {
		text, err := Whole(Registered{Kind: Protobuf, Text: c.text, References: c.imports})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
			continue
		}
		if _, found := New(protoFormat, tree.Text(text), nil).protobuf(); err == nil && found != nil {
			t.Errorf("%s: %s\n%s", name, found.Message, text)
		}
	}
}

// FuzzWhole: no files of a registry bring it down, and what it makes is Protobuf with the same messages in the same order.
func FuzzWhole(f *testing.F) {
	f.Add(orderProto, orderImports[0].Text, orderImports[0].References[0].Text)
	f.Add("syntax = \"proto2\";\nimport \"common/money.proto\";\nmessage A { optional common.M m = 1; optional bytes b = 2 [default = \"\\377\"]; }", "syntax = \"proto2\";\npackage common;\nmessage M { enum E { X = 1; } optional E e = 1 [default = X]; extensions 4 to max; }", "")
	f.Fuzz(func(t *testing.T, text, first, second string) {
		imports := []Import{file("common/money.proto", first, file("common/unit.proto", second)), orderImports[1]}
		whole, err := Whole(Registered{Kind: Protobuf, Text: text, References: imports})
		if err != nil {
			return
		}
		a, found := New(protoFormat, tree.Text(text), nil, imports...).protobuf()
		if found != nil {
			t.Fatal(found.Message)
		}
		b, found := New(protoFormat, tree.Text(whole), nil).protobuf()
		if found != nil {
			if found.Limit || strings.Contains(found.Message, "nest") {
				return
			}
			t.Fatalf("%s\n%s", found.Message, whole)
		}
		names := func(n int, name func(int) string) (out []string) {
			for i := range n {
				out = append(out, name(i))
			}
			return out
		}
		x := names(a.Messages().Len(), func(i int) string { return string(a.Messages().Get(i).FullName()) })
		y := names(min(len(x), b.Messages().Len()), func(i int) string { return string(b.Messages().Get(i).FullName()) })
		if !slices.Equal(x, y) {
			t.Errorf("%q became %q", x, y)
		}
	})
}
