package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/clientmetrics"
)

// PushTelemetry, version 0 (KIP-714): taken here, never forwarded. What a
// client pushes counts for its application; package clientmetrics decompresses
// and decodes it within bounds.

func pushTelemetry(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.PushTelemetryRequest)
	if x.Conn.Telemetry == nil {
		return Action{Close: telemetryOff}, nil
	}
	resp := kmsg.NewPtrPushTelemetryResponse()
	resp.Version = req.Version
	refused := x.Conn.Telemetry.Push(x.Context, x.owner(), clientmetrics.Push{
		Instance: req.ClientInstanceID, Subscription: req.SubscriptionID, Terminating: req.Terminating,
		Compression: req.CompressionType, Metrics: req.Metrics,
	}, x.Now)
	if refused != nil {
		resp.ErrorCode = refused.Code
	}
	return answer(resp), nil
}
