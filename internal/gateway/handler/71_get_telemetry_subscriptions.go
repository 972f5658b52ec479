package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/clientmetrics"
)

// GetTelemetrySubscriptions, version 0 (KIP-714): answered here, with the
// metrics that the gateway asks every client for. The target cluster's own
// subscriptions are not passed on: its operators would see tenants' clients.

const telemetryOff = "client telemetry is switched off: telemetry.enabled"

func getTelemetrySubscriptions(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.GetTelemetrySubscriptionsRequest)
	if x.Conn.Telemetry == nil {
		return Action{Close: telemetryOff}, nil
	}
	resp := kmsg.NewPtrGetTelemetrySubscriptionsResponse()
	resp.Version = req.Version
	s, refused := x.Conn.Telemetry.Subscribe(x.owner(), req.ClientInstanceID, x.Now)
	if refused != nil {
		resp.ErrorCode = refused.Code
		return answer(resp), nil
	}
	resp.ClientInstanceID, resp.SubscriptionID = s.Instance, s.ID
	resp.AcceptedCompressionTypes = s.Compressions
	resp.PushIntervalMillis, resp.TelemetryMaxBytes = int32(s.Interval.Milliseconds()), int32(s.MaxBytes)
	resp.DeltaTemporality, resp.RequestedMetrics = s.Delta, s.Metrics
	return answer(resp), nil
}

// owner is whose client pushes metrics.
func (x *Exchange) owner() clientmetrics.Owner {
	return clientmetrics.Owner{Application: x.Grant.Application, Environment: x.Grant.Environment}
}
