package script

import (
	"testing"

	"sluice/internal/gateway/handler"
)

// An API that is advertised without a script would be compared with nothing.
func TestEveryAdvertisedAPIHasAScript(t *testing.T) {
	for _, a := range handler.Table {
		if a.Posture != handler.Refused && Scripts[a.Key] == nil {
			t.Errorf("%s (API key %d) is advertised and has no script", a.Name, a.Key)
		}
	}
}

func TestCompareFindsWhatIsMissingAsAWhole(t *testing.T) {
	a := Recording{"X v1 ask: Topics[a].ErrorCode": "0", "X v1 ask: Topics[a].Name": "a", "X v1 ask: Topics[b].ErrorCode": "29", "Y v1 ask: ErrorCode": "0"}
	b := Recording{"X v1 ask: Topics[b].ErrorCode": "100", "X v1 ask: Topics[c].Partitions[0].ErrorCode": "0", "Y v1 ask": "closed the connection"}
	want := []Difference{
		{"X v1 ask: Topics[a]", "there", "absent"},
		{"X v1 ask: Topics[b].ErrorCode", "29", "100"},
		{"X v1 ask: Topics[c]", "absent", "there"},
		{"Y v1 ask", "absent", "closed the connection"},
		{"Y v1 ask: ErrorCode", "0", "absent"},
	}
	got := Compare(a, b)
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
	if len(Compare(a, a)) != 0 {
		t.Errorf("a recording differs from itself: %q", Compare(a, a))
	}
}

func TestSymbolsAreTheSameForTheSameThing(t *testing.T) {
	n := newNames("tag-", "", "127.0.0.1", 9092, nil)
	if a, b, again := n.symbol("member", "m-1"), n.symbol("member", "m-2"), n.symbol("member", "m-1"); a == b || a != again {
		t.Errorf("got %s, %s and %s again", a, b, again)
	}
	if got := n.text("tag-orders, rejection RABCDEF23"); got != `"~orders, rejection R"` {
		t.Errorf("got %s", got)
	}
}
