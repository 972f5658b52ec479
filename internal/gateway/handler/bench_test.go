package handler

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/kafka/wire"
)

// The way of one 64 KiB batch through a handler, from bytes to bytes: on the
// fast path, and decoded and encoded again.

func BenchmarkProduce(b *testing.B) {
	g := granted(b, nil)
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks = 12, -1
	rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	rt.Topic, rp.Records = "a", bytes.Repeat([]byte{1}, 64<<10)
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	body := req.AppendTo(nil)
	b.Run("fast", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			action, ok, err := Lookup(0).ServeFast(exchange(g, 0, 12), body)
			if err != nil || !ok {
				b.Fatal(ok, err)
			}
			wire.Gather(nil, body, action.Patches)
		}
	})
	b.Run("decoded", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		out := make([]byte, 0, len(body)+100)
		for b.Loop() {
			r := kmsg.NewPtrProduceRequest()
			r.Version = 12
			if err := r.ReadFrom(body); err != nil {
				b.Fatal(err)
			}
			action, err := Lookup(0).Serve(exchange(g, 0, 12), r)
			if err != nil {
				b.Fatal(err)
			}
			out = action.Upstream.AppendTo(out[:0])
		}
	})
}

func BenchmarkFetch(b *testing.B) {
	g := granted(b, nil)
	req := kmsg.NewPtrFetchRequest()
	req.Version = 12
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = "a"
	rt.Partitions = append(rt.Partitions, kmsg.NewFetchRequestTopicPartition())
	req.Topics = append(req.Topics, rt)
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = 12
	at, ap := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
	at.Topic, ap.RecordBatches = "phys.a", bytes.Repeat([]byte{1}, 1<<20)
	at.Partitions = append(at.Partitions, ap)
	resp.Topics = append(resp.Topics, at)
	body := resp.AppendTo(nil)
	action, err := Lookup(1).Serve(exchange(g, 1, 12), req)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("fast", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			patches, ok := action.RawResponse(body)
			if !ok {
				b.Fatal("not served fast")
			}
			wire.Gather(nil, body, patches)
		}
	})
	b.Run("decoded", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		out := make([]byte, 0, len(body)+100)
		for b.Loop() {
			r := kmsg.NewPtrFetchResponse()
			r.Version = 12
			if err := r.ReadFrom(body); err != nil {
				b.Fatal(err)
			}
			answer, err := action.Response(r)
			if err != nil {
				b.Fatal(err)
			}
			out = answer.AppendTo(out[:0])
		}
	})
}
