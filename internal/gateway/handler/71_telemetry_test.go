package handler

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestTelemetrySwitchedOffIsNotAnswered(t *testing.T) {
	serve := exchanger(granted(t, nil), still{}, new(bytes.Buffer))
	for _, r := range []kmsg.Request{kmsg.NewPtrGetTelemetrySubscriptionsRequest(), kmsg.NewPtrPushTelemetryRequest()} {
		if a := serve(r); a.Close == "" || a.Answer != nil || a.Upstream != nil {
			t.Errorf("%T: got %+v, want the end of the connection", r, a)
		}
	}
}
