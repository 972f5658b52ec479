package app

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// events makes up what a shop with delivery vans sees. It is no part of the
// product; whoever looks at the demo should recognise the real thing.
type events struct {
	random   *rand.Rand
	vehicles []*vehicle
	next     int
	orders   uint64
}

type vehicle struct {
	id                      string
	lat, lon, heading, kmph float64
	at                      time.Time
}

// The centre of the city that the vans drive in, and how far out they go.
const (
	centreLat, centreLon = 48.3059, 14.2865
	cityRadius           = 0.045 // degrees
	metresPerDegree      = 111_320
)

type item struct {
	SKU   string `json:"sku"`
	Name  string `json:"name"`
	Count int    `json:"quantity"`
	Cents int    `json:"unit_price_cents"`
}

var goods = []item{
	{"COF-1001", "Espresso beans 1 kg", 0, 1890}, {"TEA-2040", "Earl Grey 250 g", 0, 1240}, {"BRD-0007", "Rye sourdough", 0, 520},
	{"CHS-3310", "Mountain cheese 400 g", 0, 980}, {"OIL-4402", "Olive oil 750 ml", 0, 1490}, {"APL-0150", "Apples 2 kg", 0, 440},
	{"HNY-7001", "Lime blossom honey", 0, 860}, {"PST-5120", "Spaghetti 500 g", 0, 210}, {"CHC-6600", "Dark chocolate 85 %", 0, 330},
}

var districts = []string{"Innere Stadt", "Urfahr", "Lustenau", "Froschberg", "Ebelsberg", "Auhof", "Bindermichl", "Kleinmünchen"}

func newEvents(seed int64) *events {
	e := &events{random: rand.New(rand.NewPCG(uint64(seed), 0x51))}
	for i := range 12 {
		e.vehicles = append(e.vehicles, &vehicle{
			id: fmt.Sprintf("van-%02d", i+1), lat: centreLat + e.spread(), lon: centreLon + e.spread(),
			heading: e.random.Float64() * 360, kmph: 20 + e.random.Float64()*25,
		})
	}
	return e
}

func (e *events) spread() float64 { return (e.random.Float64()*2 - 1) * cityRadius }

// order is one order, keyed by its id.
func (e *events) order(at time.Time) *kgo.Record {
	e.orders++
	id := "ord-" + strconv.FormatInt(at.UnixMilli(), 36) + strconv.FormatUint(e.orders%36, 36)
	items, total := []item{}, 0
	for _, i := range e.random.Perm(len(goods))[:1+e.random.IntN(3)] {
		it := goods[i]
		it.Count = 1 + e.random.IntN(3)
		total += it.Count * it.Cents
		items = append(items, it)
	}
	return record(backingOrders, id, at, map[string]any{
		"order_id": id, "customer_id": fmt.Sprintf("cus-%04d", 1000+e.random.IntN(400)), "district": districts[e.random.IntN(len(districts))],
		"items": items, "total_cents": total, "currency": "EUR", "placed_at": at.UTC().Format(time.RFC3339Nano),
	})
}

// position is where the next vehicle is, keyed by the vehicle.
func (e *events) position(at time.Time) *kgo.Record {
	v := e.vehicles[e.next]
	e.next = (e.next + 1) % len(e.vehicles)
	if !v.at.IsZero() {
		metres := v.kmph / 3.6 * at.Sub(v.at).Seconds()
		v.lat += metres / metresPerDegree * math.Cos(v.heading*math.Pi/180)
		v.lon += metres / (metresPerDegree * math.Cos(centreLat*math.Pi/180)) * math.Sin(v.heading*math.Pi/180)
	}
	v.at = at
	v.heading += e.random.NormFloat64() * 12
	if dLat, dLon := centreLat-v.lat, centreLon-v.lon; math.Hypot(dLat, dLon) > cityRadius { // turn back
		v.heading = math.Atan2(dLon, dLat) * 180 / math.Pi
	}
	v.heading = math.Mod(v.heading+360, 360)
	v.kmph = min(max(v.kmph+e.random.NormFloat64()*4, 0), 50)
	return record(backingPositions, v.id, at, map[string]any{
		"vehicle_id": v.id, "lat": math.Round(v.lat*1e6) / 1e6, "lon": math.Round(v.lon*1e6) / 1e6,
		"speed_kmh": math.Round(v.kmph*10) / 10, "heading_deg": math.Round(v.heading), "recorded_at": at.UTC().Format(time.RFC3339Nano),
	})
}

func record(topic, key string, at time.Time, value map[string]any) *kgo.Record {
	data, err := json.Marshal(value)
	if err != nil {
		panic("bug: " + err.Error())
	}
	return &kgo.Record{Topic: topic, Key: []byte(key), Value: data, Timestamp: at}
}

// write produces events until the context ends: an order or two per second and
// a few positions. What the broker does not take is lost, as in life.
func (e *events) write(ctx context.Context, client *kgo.Client) {
	const tick = 250 * time.Millisecond
	timer := time.NewTicker(tick)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-timer.C:
			client.TryProduce(ctx, e.position(now), nil)
			if e.random.Float64() < 0.4 {
				client.TryProduce(ctx, e.order(now), nil)
			}
		}
	}
}
