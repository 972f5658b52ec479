package resource

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// examples are documents of every kind.
func examples(t *testing.T) *Set {
	text, err := os.ReadFile("testdata/page.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		all = append(all, m[1])
	}
	set, problems := ReadBytes("page.yaml", []byte(strings.Join(all, "---\n")))
	if Bad(problems) {
		t.Fatal(problems)
	}
	return set
}

func TestDocumentsSurviveJSON(t *testing.T) {
	set := examples(t)
	met := map[Kind]bool{}
	for d := range set.All() {
		met[d.Key().Kind] = true
		written, err := Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Unmarshal(written)
		if err != nil {
			t.Fatal(err)
		}
		reflect.ValueOf(d).Elem().FieldByName("Source").SetZero()
		if !reflect.DeepEqual(back, d) {
			t.Errorf("%s: got %+v, want %+v", d.Key(), back, d)
		}
		if again, _ := Marshal(back); !bytes.Equal(again, written) {
			t.Errorf("%s: written %s, then %s", d.Key(), written, again)
		}
		// What is sent to a server is read as what files hold.
		switch d := d.(type) {
		case *Credential:
			d.Spec.Secret = SecretRef{}
		case *Version:
			d.Spec.Contract.File = ""
		}
		sent, _ := Marshal(d)
		if asked, problems := ReadRequest("body", sent); Bad(problems) {
			t.Errorf("%s: %v", sent, problems)
		} else if got := slices.Collect(asked.All()); len(got) != 1 || got[0].Key() != d.Key() {
			t.Errorf("%s: %v", sent, got)
		}
	}
	for _, kind := range Kinds {
		if !met[kind] {
			t.Errorf("no example of %s", kind)
		}
	}
}

func TestSetsAreMadeOfDocuments(t *testing.T) {
	set := examples(t)
	documents := slices.Collect(set.All())
	again := NewSet(slices.Values(documents))
	if got := slices.Collect(again.All()); !slices.Equal(got, documents) || len(got) == 0 {
		t.Errorf("%d documents, then %d", len(documents), len(got))
	}
}

// What a field is when it is not written, and what it is when it is empty, are two
// things, and stay so.
func TestEmptyIsNotMissing(t *testing.T) {
	set, problems := ReadBytes("c.yaml", []byte("apiVersion: sluice/v1\nkind: Cluster\nmetadata: {name: a, environment: e}\nspec: {bootstrap: ['127.0.0.1:1'], tls: {}}\n"))
	if Bad(problems) {
		t.Fatal(problems)
	}
	b, err := Marshal(set.Clusters[0])
	if err != nil || !strings.Contains(string(b), `"tls":{}`) {
		t.Fatalf("%s, %v", b, err)
	}
	back, err := Unmarshal(b)
	if err != nil || back.(*Cluster).Spec.TLS == nil || back.(*Cluster).Spec.SASL != nil {
		t.Errorf("%+v, %v", back, err)
	}
}

// The fields of files are those of JSON, and what is not set is not written.
func TestFieldsAreLeftOut(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var look func(typ reflect.Type)
	look = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			look(typ.Elem())
			return
		}
		if typ.Kind() != reflect.Struct || seen[typ] || !strings.HasPrefix(typ.PkgPath(), "sluice/") || typ == reflect.TypeFor[Source]() {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			if tag := f.Tag.Get("json"); f.IsExported() && tag != "-" && !strings.HasSuffix(tag, ",omitzero") {
				t.Errorf("%s.%s: json:%q", typ, f.Name, tag)
			}
			look(f.Type)
		}
	}
	for _, blank := range kinds {
		look(reflect.TypeOf(blank.empty()))
	}
}

func TestRequestsHaveNoFilesAndNoSecrets(t *testing.T) {
	for _, c := range []struct{ name, document, want string }{
		{"contract in a file", "kind: Version\nmetadata: {name: a.v1}\nspec: {contract: {file: a.yaml}}", "spec.contract.file: is a file, which the server does not have"},
		{"price in a file", "kind: Product\nmetadata: {name: a}\nspec: {versions: [a.v1], plans: {p: {auth: [scram], price: {file: p.yaml}}}}", "spec.plans.p.price.file: is a file"},
		{"secret by reference", "kind: Credential\nmetadata: {name: a, environment: e}\nspec: {application: b, type: scram, secret: {env: PATH}}", "spec.secret: is a reference, which the server cannot follow"},
	} {
		_, problems := ReadRequest("body", []byte("apiVersion: sluice/v1\n"+c.document+"\n"))
		problems = slices.DeleteFunc(problems, func(p Problem) bool { return p.Warning })
		if len(problems) != 1 || !strings.Contains(problems[0].String(), c.want) {
			t.Errorf("%s: %v", c.name, problems)
		}
	}
	set, problems := ReadRequest("body", []byte("apiVersion: sluice/v1\nkind: Subscription\nmetadata: {name: a, environment: e}\nspec: {application: b, product: p, plan: q}\n"))
	if Bad(problems) || set.Subscriptions[0].Spec.State != "" {
		t.Errorf("%v: the state of a subscription is for the server to say", problems)
	}
}

// TestWith changes sets at random, and compares them with maps.
func TestWith(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	set, want := new(Set), map[Key]Any{}
	for range 300 {
		changed := map[Key]Any{}
		for range random.IntN(4) {
			name := fmt.Sprint("n", random.IntN(12))
			for _, d := range []Any{&API{Kind: KindAPI, Metadata: Metadata{Name: name}}, &Team{Kind: KindTeam, Metadata: Metadata{Name: name}}} {
				switch random.IntN(3) {
				case 0:
					changed[d.Key()] = d
				case 1:
					changed[d.Key()] = nil
				}
			}
		}
		before := *set
		apis := slices.Clone(set.APIs)
		next := set.With(changed)
		if !slices.Equal(before.APIs, apis) {
			t.Fatal("the set itself has changed")
		}
		for key, d := range changed {
			if want[key] = d; d == nil {
				delete(want, key)
			}
		}
		got := map[Key]Any{}
		for d := range next.All() {
			got[d.Key()] = d
		}
		byName := func(a, b *API) int { return strings.Compare(a.Name(), b.Name()) }
		if !maps.Equal(got, want) || !slices.IsSortedFunc(next.APIs, byName) || len(next.APIs)+len(next.Teams) != len(want) {
			t.Fatalf("%v after %v\nwant %v", got, changed, want)
		}
		set = next
	}
}

// TestUnmarshalReadsOurOwnTextsQuickly: a start reads all documents of a control plane.
func TestUnmarshalReadsOurOwnTextsQuickly(t *testing.T) {
	const text = `{"apiVersion":"sluice/v1","kind":"Subscription","metadata":{"name":"acme-orders","environment":"prod"},"spec":{"application":"acme","product":"orders","plan":"plan","state":"active"}}`
	most := 5.0
	if raced { // then pools forget at random
		most = 10
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Unmarshal([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}); n > most { // encoding/json takes more than a dozen
		t.Fatalf("%v pieces of memory for one document", n)
	}
}

func TestUnmarshalTakesTheKindThatJSONHas(t *testing.T) {
	d, err := Unmarshal([]byte(`{"metadata":{"name":"one"},"kind":"Cluster","apiVersion":"sluice/v1"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, is := d.(*Cluster); !is {
		t.Fatalf("read as a %T", d)
	}
	if _, err := Unmarshal([]byte(`{"apiVersion":"sluice/v1","kind":"Team","kind":"Cluster","metadata":{"name":"one"}}`)); err == nil {
		t.Fatal("a text that says two kinds is read")
	}
}
