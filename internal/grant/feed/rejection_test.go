package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// refusing is a gateway that has refused something, and a control plane that hears of it.
type refusing struct {
	mu    sync.Mutex
	kept  []Rejection
	told  uint64
	heard []string // ids, as they came
}

func (r *refusing) note(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range n {
		number := uint64(len(r.kept) + 1)
		r.kept = append(r.kept, Rejection{Number: number, ID: fmt.Sprint("R", number), Application: "app", Environment: "prod"})
	}
}

func (r *refusing) after(number uint64, most int) []Rejection {
	r.mu.Lock()
	defer r.mu.Unlock()
	rest := r.kept[number:]
	return rest[:min(len(rest), most)]
}

func (r *refusing) reported(_, environment string, report Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range report.Rejections {
		r.heard = append(r.heard, x.ID+environment)
	}
}

// come waits until all are there, each once and in order, and known to be so.
func (r *refusing) come(p *plane, at *Receiver, what string) {
	p.t.Helper()
	p.within(what, func() bool {
		at.Reported() // and not only every few seconds
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.heard) >= len(r.kept) && r.told == uint64(len(r.kept))
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, id := range r.heard {
		if want := fmt.Sprint("R", i+1, "prod"); id != want {
			p.t.Fatalf("%s: at %d came %s, want %s", what, i, id, want)
		}
	}
}

func TestRejectionsComeOnceAndAgainAfterARestart(t *testing.T) {
	t.Parallel()
	p, x := newPlane(t), &refusing{}
	p.sender.config.Reported = x.reported
	stop := p.serve(p.sender)
	id, err := p.join("secret", p.dir)
	if err != nil {
		t.Fatal(err)
	}
	p.publish(p.sender, stateOf(t, 1, credential(1, 0)))
	gateway := func() (r *Receiver, stop func()) {
		r, err := NewReceiver(ReceiverConfig{Dir: p.dir, Identity: id, Control: p.address, Save: replace, Log: p.log(), Now: time.Now, Rejections: x.after, Told: func(n uint64) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.told = n
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.Run(ctx, func(State) error { return nil })
		}()
		stop = sync.OnceFunc(func() { cancel(); <-done })
		t.Cleanup(stop)
		return r, stop
	}
	x.note(MaxRejections + 7) // more than one report has
	r, end := gateway()
	x.come(p, r, "all have come")
	x.note(3)
	x.come(p, r, "later ones have come")
	end()
	x.note(2)
	r, end = gateway()
	x.come(p, r, "another connection goes on where the one before ended")
	if g, _ := p.sender.Gateway("gw-1"); g.Report.Rejections != nil {
		t.Errorf("%d rejections are kept with the report", len(g.Report.Rejections))
	}

	end()
	stop()
	x.mu.Lock()
	x.heard = nil
	x.mu.Unlock()
	again := p.newSender() // which knows of none
	again.config.Reported = x.reported
	p.publish(again, stateOf(t, 2, credential(1, 0)))
	p.serve(again)
	r, _ = gateway()
	x.come(p, r, "a control plane that was started again hears of all")
}

func TestWhatAReportMayHaveOfRejections(t *testing.T) {
	t.Parallel()
	many := make([]Rejection, MaxRejections+1)
	if got := len(fitting(many)); got != MaxRejections {
		t.Errorf("%d empty ones fit, want %d", got, MaxRejections)
	}
	for i := range many {
		many[i] = Rejection{ID: fmt.Sprint("R", i), Name: strings.Repeat("\x01", 500), Rule: strings.Repeat("<", 500)} // six bytes each
	}
	fits := fitting(many)
	text, err := json.Marshal(fits)
	if err != nil || len(text) > maxRejectionBytes+2 || len(fits) < maxRejectionBytes/6500 {
		t.Errorf("%d with %d bytes fit, %v", len(fits), len(text), err)
	}

	took := 0
	s := NewSender(SenderConfig{Now: time.Now, Reported: func(_, _ string, r Report) { took += len(r.Rejections) }})
	tell := func(n int) error {
		near, far := net.Pipe()
		defer near.Close()
		go func() {
			say(far, tellReport, Report{Rejections: make([]Rejection, n)}) // the reader says what went wrong
			far.Close()
		}()
		return s.listen(near, "gw-1", "prod", &peer{}, nil)
	}
	if err := tell(MaxRejections); took != MaxRejections || !errors.Is(err, io.EOF) {
		t.Errorf("%d are taken, %v", took, err)
	}
	if err := tell(MaxRejections + 1); took != MaxRejections || err == nil || !strings.Contains(err.Error(), "501 rejections") {
		t.Errorf("one too many: %v, %d are taken", err, took)
	}
}
