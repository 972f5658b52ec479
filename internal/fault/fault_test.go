package fault

import (
	"errors"
	"fmt"
	"testing"
)

func TestKindsAndMessages(t *testing.T) {
	cause := errors.New("dial 10.0.0.1: refused")
	for name, c := range map[string]struct {
		err     error
		kind    Kind
		message string
	}{
		"nothing":            {nil, "", ""},
		"somebody else's":    {cause, Internal, "something went wrong here; the log says what"},
		"without a cause":    {New(Denied, "only %s may", "an approver"), Denied, "only an approver may"},
		"with a cause":       {Wrap(Unavailable, cause, "the cluster is away"), Unavailable, "the cluster is away"},
		"wrapped":            {fmt.Errorf("apply: %w", New(Conflict, "changed meanwhile")), Conflict, "changed meanwhile"},
		"the outermost wins": {Wrap(Invalid, New(NotFound, "no plan"), "subscription"), Invalid, "subscription"},
		"ours":               {New(Internal, "nil map in plane"), Internal, "something went wrong here; the log says what"},
	} {
		if got := KindOf(c.err); got != c.kind {
			t.Errorf("%s: kind %q, want %q", name, got, c.kind)
		}
		if got := MessageOf(c.err); got != c.message {
			t.Errorf("%s: message %q, want %q", name, got, c.message)
		}
	}
	if err := Wrap(Unavailable, cause, "the cluster is away"); !errors.Is(err, cause) || err.Error() != "the cluster is away: dial 10.0.0.1: refused" {
		t.Errorf("got %v", err)
	}
}
