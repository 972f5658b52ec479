package clientmetrics

import (
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
	"google.golang.org/protobuf/encoding/protowire"
)

// A push is MetricsData of OpenTelemetry's protocol, in protobuf. It is walked
// where it lies, with no structs made of it, and only to the depth and the
// fields that are wanted here; everything is counted against a bound.
//
//	MetricsData { ResourceMetrics 1 { ScopeMetrics 2 { Metric 2 {
//	  name 1, Gauge 5 | Sum 7 { NumberDataPoint 1 {
//	    as_double 4 | as_int 6, attributes 7 { key 1 } } } } } } }

// Bounds of one push. A consumer of 4,000 partitions has as many data points.
const (
	maxMetrics    = 20_000
	maxDataPoints = 40_000
	maxAttributes = 64 // of one data point
)

var (
	errTooMuch   = errors.New("more than a push may hold")
	errMalformed = errors.New("malformed metrics")
)

// decode reads a push into readings. The error is Kafka's.
func decode(compression int8, payload []byte, into *readings) *kerr.Error {
	plain, release, err := decompress(compression, payload)
	if err == nil {
		defer release()
		err = (&walk{into: into}).metricsData(plain)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooMuch):
		return kerr.TelemetryTooLarge
	}
	return kerr.InvalidRecord
}

// walk is one payload on its way through the decoder.
type walk struct {
	into            *readings
	metrics, points int
}

// fields calls do for each field of a message. Groups, which OTLP does not
// have, are refused; the value is the bytes of a nested message or string, or
// the bits of a number.
func fields(message []byte, do func(number protowire.Number, bytes []byte, bits uint64) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(n))
		}
		message = message[n:]
		var bytes []byte
		var bits uint64
		switch kind {
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			bits, n = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			bits, n = protowire.ConsumeFixed64(message)
		case protowire.Fixed32Type:
			_, n = protowire.ConsumeFixed32(message)
		default:
			return fmt.Errorf("%w: wire type %d", errMalformed, kind)
		}
		if n < 0 {
			return fmt.Errorf("%w: field %d: %w", errMalformed, number, protowire.ParseError(n))
		}
		if kind == protowire.BytesType && bytes == nil {
			bytes = []byte{}
		}
		if err := do(number, bytes, bits); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}

// nested calls do for each nested message of one field.
func nested(message []byte, want protowire.Number, do func([]byte) error) error {
	return fields(message, func(number protowire.Number, bytes []byte, _ uint64) error {
		if number != want || bytes == nil {
			return nil
		}
		return do(bytes)
	})
}

func (w *walk) metricsData(message []byte) error {
	return nested(message, 1, func(resource []byte) error {
		return nested(resource, 2, func(scope []byte) error {
			return nested(scope, 2, w.metric)
		})
	})
}

func (w *walk) metric(message []byte) error {
	if w.metrics++; w.metrics > maxMetrics {
		return fmt.Errorf("%w: %d metrics", errTooMuch, w.metrics)
	}
	var name []byte // may stand behind the data
	var data [2][]byte
	err := fields(message, func(number protowire.Number, bytes []byte, _ uint64) error {
		switch {
		case bytes == nil:
		case number == 1:
			name = bytes
		case number == 5:
			data[0] = bytes
		case number == 7:
			data[1] = bytes
		}
		return nil
	})
	if err != nil {
		return err
	}
	at := find(name)
	if at < 0 {
		return nil
	}
	for _, d := range data {
		if err := nested(d, 1, func(point []byte) error { return w.point(at, point) }); err != nil {
			return err
		}
	}
	return nil
}

// point reads a NumberDataPoint. Of a metric that is summed up, those of single
// topics are left out: clients push them beside their own sum.
func (w *walk) point(at int, message []byte) error {
	if w.points++; w.points > maxDataPoints {
		return fmt.Errorf("%w: %d data points", errTooMuch, w.points)
	}
	value, attributes, ofTopic := math.NaN(), 0, false
	err := fields(message, func(number protowire.Number, bytes []byte, bits uint64) error {
		switch {
		case number == 4 && bytes == nil:
			value = math.Float64frombits(bits)
		case number == 6 && bytes == nil:
			value = float64(int64(bits))
		case number == 7 && bytes != nil:
			if attributes++; attributes > maxAttributes {
				return fmt.Errorf("%w: %d attributes of a data point", errTooMuch, attributes)
			}
			return nested(bytes, 1, func(key []byte) error {
				ofTopic = ofTopic || string(key) == "topic"
				return nil
			})
		}
		return nil
	})
	if err != nil || ofTopic && metrics[at].join == sum {
		return err
	}
	w.into.add(at, value)
	return nil
}
