package consistency

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// fault is a kind of step of a plan.
type fault string

const (
	brokerKilled      fault = "broker killed and started again"
	brokerFrozen      fault = "broker frozen"
	quorumLost        fault = "two of three brokers killed and started again"
	leadersMoved      fault = "leaders of all topics moved"
	coordinatorsMoved fault = "coordinators of groups and transactions moved"
	gatewayKilled     fault = "the busier gateway killed and started again"
	gatewaysKilled    fault = "both gateways killed and started again"
	gatewayFrozen     fault = "the busier gateway frozen"
	gatewaysRolled    fault = "both gateways restarted one after the other"
)

// atGateway says that clients with a direct connection do not meet the fault.
func (f fault) atGateway() bool { return strings.Contains(string(f), "gateway") }

// step is one fault of a plan.
type step struct {
	fault  fault
	broker int           // from 1; of quorumLost, the one that lives
	shift  int           // by how many brokers leaders move
	length time.Duration // of a freeze
	quiet  time.Duration // before it
}

// plan makes the faults of a run from its seed: every kind once, in another order, with other brokers and lengths. The
// sample has some of the gentle ones, and short.
func plan(seed uint64, whole bool) []step {
	rng := rand.New(rand.NewPCG(seed, 0))
	faults := []fault{[]fault{leadersMoved, brokerFrozen}[seed%2], gatewayKilled, gatewaysRolled}
	if whole {
		faults = []fault{leadersMoved, brokerFrozen, gatewayKilled, gatewaysRolled, brokerKilled, quorumLost, coordinatorsMoved, gatewaysKilled, gatewayFrozen}
	}
	rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	steps := make([]step, len(faults))
	for i, f := range faults {
		s := step{fault: f, broker: 1 + rng.IntN(3), shift: 1 + rng.IntN(2), length: time.Second, quiet: time.Duration(rng.IntN(1000)) * time.Millisecond}
		if whole {
			s.length, s.quiet = []time.Duration{5, 15, 45}[rng.IntN(3)]*time.Second, 2*s.quiet
			if f == gatewayFrozen {
				s.length = 30 * time.Second
			}
		}
		steps[i] = s
	}
	return steps
}

// strike does a step and undoes it. It returns the gateway that it has hit, or -1 for none or all.
func (w *world) strike(s step) (gateway int, err error) {
	gateway = -1
	switch s.fault {
	case brokerKilled:
		if err := w.kafka.KillBroker(s.broker); err != nil {
			return -1, err
		}
		return -1, w.startBroker(s.broker)
	case brokerFrozen:
		if err := w.kafka.Pause(s.broker); err != nil {
			return -1, err
		}
		time.Sleep(s.length) // the length is the fault
		return -1, w.kafka.Resume(s.broker)
	case quorumLost:
		var killed []int
		for i := 1; i <= w.kafka.Brokers(); i++ {
			if i != s.broker {
				killed = append(killed, i)
				if err := w.kafka.KillBroker(i); err != nil {
					return -1, err
				}
			}
		}
		time.Sleep(2 * time.Second) // clients meet brokers that cannot write
		// A broker is ready when the quorum is, so that both have to start at once.
		started := make(chan error, len(killed))
		for _, i := range killed {
			go func() { started <- w.startBroker(i) }()
		}
		for range killed {
			if e := <-started; err == nil {
				err = e
			}
		}
		return -1, err
	case leadersMoved:
		return -1, w.moveLeaders(s.shift, func(topic string) bool { return !strings.HasPrefix(topic, "__") })
	case coordinatorsMoved:
		return -1, w.moveLeaders(s.shift, func(topic string) bool { return strings.HasPrefix(topic, "__") })
	case gatewayKilled:
		gateway = w.balancer.busiest()
		w.gateways[gateway].Kill()
		w.gateways[gateway].Start()
	case gatewaysKilled:
		for _, g := range w.gateways {
			g.Kill()
		}
		for _, g := range w.gateways {
			g.Start()
		}
	case gatewayFrozen:
		gateway = w.balancer.busiest()
		w.gateways[gateway].Pause()
		time.Sleep(s.length) // the length is the fault
		w.gateways[gateway].Resume()
	case gatewaysRolled:
		for _, g := range w.gateways {
			w.tb.Logf("a gateway ended %v after SIGTERM", g.Stop(8*time.Second)) // the drain's bound is 5 s
			g.Start()
		}
	default:
		return -1, fmt.Errorf("bug: no fault %q", s.fault)
	}
	return gateway, nil
}

// startBroker starts a killed broker. On a machine with much else to do it may not be ready in time, the more so when it
// needs another one that starts as well; what counts here is that it comes back.
func (w *world) startBroker(i int) error {
	for try := 1; ; try++ {
		err := w.kafka.StartBroker(i)
		if err == nil || try == 2 {
			return err
		}
		w.tb.Logf("broker %d, try %d: %.200s", i, try, err)
	}
}

// moveLeaders turns the replicas of partitions, so that another one is preferred, and has it elected.
func (w *world) moveLeaders(shift int, of func(topic string) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	topics, err := w.direct.ListTopicsWithInternal(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	req, set := kadm.AlterPartitionAssignmentsReq{}, kadm.TopicsSet{}
	for _, t := range topics {
		if !of(t.Topic) {
			continue
		}
		for _, p := range t.Partitions {
			n := len(p.Replicas)
			if n == 0 {
				continue
			}
			i := (slices.Index(p.Replicas, p.Leader) + shift) % n
			if i < 0 {
				i = 0
			}
			req.Assign(t.Topic, p.Partition, append(slices.Clone(p.Replicas[i:]), p.Replicas[:i]...))
			set.Add(t.Topic, p.Partition)
		}
	}
	for {
		resp, err := w.direct.AlterPartitionAssignments(ctx, req)
		if err == nil {
			err = resp.Error()
		}
		if err == nil {
			// One that leads already is told as an error, one that is not in sync yet is moved by the controller later.
			_, err = w.direct.ElectLeaders(ctx, kadm.ElectPreferredReplica, set)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond) // the controller may be on the move itself
	}
}
