package gateway

import (
	"log/slog"
	"testing"

	"sluice/internal/gateway/upstream"
)

// A load balancer on another port must be what clients are told, in answers
// too, not only where a listener has a domain.
func TestAdvertisedPortHoldsInPortMode(t *testing.T) {
	a := &portAddressing{host: "kafka.example", bootstrapPort: 9092, ports: map[int32]int{}, failed: map[int32]bool{}}
	a.learn([]upstream.Broker{{NodeID: 7}})
	if host, port, ok := a.Advertise(7); host != "kafka.example" || port != 9092 || !ok {
		t.Errorf("single broker: got %s:%d %v, want kafka.example:9092", host, port, ok)
	}
	if got, want := a.bootstrap(), "kafka.example:9092"; got != want {
		t.Errorf("bootstrap: got %s, want %s", got, want)
	}

	l, err := newListener(&Gateway{config: Config{}, deps: Deps{}, log: slog.New(slog.DiscardHandler)}, ListenerConfig{Name: "main", Address: "127.0.0.1:0", AdvertisedPort: 9092})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if got, want := l.addressing.bootstrap(), "127.0.0.1:9092"; got != want {
		t.Errorf("listener: got %s, want %s", got, want)
	}
}
