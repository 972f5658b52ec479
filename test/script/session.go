package script

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Range is the versions of one Kafka API, both ends included.
type Range struct{ Min, Max int16 }

// Lane is one way to reach a cluster, with the topics that scripts use there. Several sessions of one lane must not run
// at the same time, since they write to the same topics.
type Lane struct {
	Name string
	// Tag begins every name that a client uses in this lane. All lanes have tags of one length.
	Tag string
	// Address is where clients connect, and what answers must say.
	Address string
	// Through is where scripts connect instead, if set.
	Through string
	// Login returns what an application logs in with.
	Login func(app string) (user, password string)
	// TopicID returns the id that an application knows one of the Topics by.
	TopicID func(app, topic string) [16]byte
	// Backing returns the name on the target cluster of one of the Topics.
	Backing func(topic string) string
	// Physical returns the name on the target cluster of an application's group, transactional id or own topic.
	Physical func(app, name string) string
	// Admin is a connection to the target cluster itself that may do everything.
	Admin *Conn
	// Versions are offered in all lanes that are compared.
	Versions map[int16]Range

	// Exact records the bytes of answers as well, with symbols for what a cluster makes up.
	Exact bool

	conns   map[string]*Conn           // by application
	offsets map[string]map[int32]int64 // up to where the Topics were looked at
	markers int                        // topics made to catch up with the controller
}

// Topics are those that every lane has, each with Partitions partitions. An application is allowed all of them, partly
// allowed (orders both ways, readonly and writeonly as they say, hidden not at all), or denied all.
var Topics = []string{"orders", "readonly", "writeonly", "hidden"}

// Partitions is how many each of the Topics has.
const Partitions = 2

// The applications a script runs as. Allowed has a namespace too, in which it makes topics whose names begin with Own.
const (
	Allowed = "allowed"
	Partly  = "partly"
	Denied  = "denied"
)

// Own begins the names of the topics that scripts make, behind the lane's tag.
const Own = "own."

func (l *Lane) through() string {
	if l.Through != "" {
		return l.Through
	}
	return l.Address
}

// Close closes the connections of the lane.
func (l *Lane) Close() {
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// WarmUp makes a cluster create the topics in which it keeps groups and transactions, which it does when a coordinator is
// looked for, and waits until they can be used.
func WarmUp(admin *Conn) error {
	for kind := range int8(2) {
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.Version, req.CoordinatorType = 4, kind
			for i := range 20 {
				req.CoordinatorKeys = append(req.CoordinatorKeys, fmt.Sprint("warm-up-", i))
			}
			resp, err := admin.Do(req)
			if err != nil {
				return fmt.Errorf("look for coordinators: %w", err)
			}
			ready := true
			for _, c := range resp.(*kmsg.FindCoordinatorResponse).Coordinators {
				ready = ready && c.ErrorCode == 0
			}
			if ready {
				break
			}
			if time.Now().After(deadline) {
				return errors.New("the cluster's coordinators are not there within 30 s")
			}
		}
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) { // takes producer id 0, which looks like none
		resp, err := admin.Do(kmsg.NewPtrInitProducerIDRequest())
		if err != nil {
			return fmt.Errorf("ask for a producer id: %w", err)
		}
		if resp.(*kmsg.InitProducerIDResponse).ErrorCode == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("the cluster gives no producer id within 30 s")
		}
	}
}

// Session is one script in one version as one application in one lane.
type Session struct {
	Lane    *Lane
	App     string
	Key     int16
	Version int16

	cell  string
	names *names
	out   Recording
	steps map[string]int // how often each was done
}

// stop ends a script that cannot go on.
type stop struct{ err error }

// Run runs the script of an API and returns what it saw and what it left on the target cluster. The cell is a number
// that no other run in this lane has; lanes that are compared use the same.
func (l *Lane) Run(key, version int16, app string, cell int) (out Recording, err error) {
	script := Scripts[key]
	if script == nil {
		return nil, fmt.Errorf("no script for API key %d", key)
	}
	return l.RunScript(script, key, version, app, cell)
}

// RunScript is Run with a script of the caller's.
func (l *Lane) RunScript(script func(*Session), key, version int16, app string, cell int) (out Recording, err error) {
	host, port, err := hostPort(l.Address)
	if err != nil {
		return nil, err
	}
	ids := map[[16]byte]string{}
	for _, t := range Topics {
		for _, a := range []string{Allowed, Partly, Denied} {
			ids[l.TopicID(a, t)] = t
		}
	}
	s := &Session{Lane: l, App: app, Key: key, Version: version, cell: fmt.Sprintf("%s%05d", cellMark, cell), out: Recording{}, steps: map[string]int{}}
	s.names = newNames(l.Tag, s.cell, host, port, ids)
	defer func() {
		switch r := recover().(type) {
		case nil:
		case stop:
			out, err = s.out, fmt.Errorf("%s, %s v%d as %s: %w", l.Name, kmsg.NameForKey(key), version, app, r.err)
		default:
			panic(r)
		}
	}()
	s.level(int64(cell) * room)
	script(s)
	s.effects()
	s.tidy()
	return s.out, nil
}

// room is how many offsets of each partition a script has for itself.
const room = 64

// level writes records to every partition up to an offset, so that a script finds the same offsets in all lanes whatever
// earlier scripts did there.
func (s *Session) level(to int64) {
	if err := s.lookAtTopics(false); err != nil {
		s.fail("%w", err)
	}
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, -1, 10_000
	for _, t := range Topics {
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic = s.Lane.Backing(t)
		for p, end := range s.Lane.offsets[t] {
			if end > to {
				s.fail("%s/%d ends at %d: a script before wrote more than %d records", t, p, end, room)
			}
			if end == to {
				continue
			}
			rp := kmsg.NewProduceRequestTopicPartition()
			rp.Partition, rp.Records = p, plain(make([]string, to-end)...).bytes()
			rt.Partitions = append(rt.Partitions, rp)
			s.Lane.offsets[t][p] = to
		}
		if len(rt.Partitions) > 0 {
			req.Topics = append(req.Topics, rt)
		}
	}
	if len(req.Topics) == 0 {
		return
	}
	resp, err := s.Lane.Admin.Do(req)
	if err != nil {
		s.fail("level the topics: %w", err)
	}
	for _, t := range resp.(*kmsg.ProduceResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				s.fail("level the topics: error code %d", p.ErrorCode)
			}
		}
	}
}

func (s *Session) fail(format string, args ...any) { panic(stop{fmt.Errorf(format, args...)}) }

// connection returns the application's, made anew after one was closed.
func (s *Session) connection() *Conn {
	l := s.Lane
	if l.conns == nil {
		l.conns = map[string]*Conn{}
	}
	if l.conns[s.App] == nil {
		user, password := l.Login(s.App)
		c, err := Dial(l.through(), user, password)
		if err != nil {
			s.fail("%w", err)
		}
		l.conns[s.App] = c
	}
	return l.conns[s.App]
}

// reconnect drops the application's connection, with everything that the other side remembers of it.
func (s *Session) reconnect() {
	if c := s.Lane.conns[s.App]; c != nil {
		c.Close()
		delete(s.Lane.conns, s.App)
	}
}

// Topic is the name of one of the Topics, or of any other thing, as clients of the lane use it.
func (s *Session) Topic(name string) string { return s.Lane.Tag + name }

// ID is the id of one of the Topics; of any other name one that nobody has.
func (s *Session) ID(topic string) [16]byte {
	for _, t := range Topics {
		if t == topic {
			id := s.Lane.TopicID(s.App, t)
			if id == ([16]byte{}) { // not the application's: it guesses the id that another one has
				return s.Lane.TopicID(Allowed, t)
			}
			return id
		}
	}
	var id [16]byte
	copy(id[:], "nobody's id.....")
	return id
}

// Group is the name of a group of this script; TxnID and Own likewise.
func (s *Session) Group(name string) string { return s.Lane.Tag + "g." + s.cell + "." + name }
func (s *Session) TxnID(name string) string { return s.Lane.Tag + "t." + s.cell + "." + name }
func (s *Session) Own(name string) string   { return s.Lane.Tag + Own + s.cell + "." + name }

// pin sets the version: that of the script for its own API, the newest that every lane has for others.
func (s *Session) pin(req kmsg.Request) {
	if req.Key() == s.Key {
		req.SetVersion(s.Version)
		return
	}
	r, ok := s.Lane.Versions[req.Key()]
	if !ok {
		s.fail("the script needs %s, which is not offered", kmsg.NameForKey(req.Key()))
	}
	req.SetVersion(min(r.Max, req.MaxVersion()))
}

// retried are codes that pass by themselves: what was asked for is not ready yet.
var retried = map[int64]bool{
	14: true, // COORDINATOR_LOAD_IN_PROGRESS
	15: true, // COORDINATOR_NOT_AVAILABLE
	16: true, // NOT_COORDINATOR
	51: true, // CONCURRENT_TRANSACTIONS
	88: true, // UNSTABLE_OFFSET_COMMIT
	5:  true, // LEADER_NOT_AVAILABLE, of a topic just made
	6:  true, // NOT_LEADER_OR_FOLLOWER, likewise
}

// retryFor bounds how long a step is repeated.
const retryFor = 10 * time.Second

// Do sends a request, again while the answer is that something is not ready, and writes the answer down. The request is
// not changed by being sent. It returns nil when the connection was closed instead.
func (s *Session) Do(what string, req kmsg.Request) kmsg.Response {
	return s.Until(what, req, func(kmsg.Response) bool { return true })
}

// Until is Do that repeats the request until the answer is good, for what a cluster does a moment later. It does not
// fail when that is never so: the last answer is written down.
func (s *Session) Until(what string, req kmsg.Request, good func(kmsg.Response) bool) kmsg.Response {
	s.pin(req)
	place := s.place(req, what)
	for deadline := time.Now().Add(retryFor); ; time.Sleep(5 * time.Millisecond) {
		resp, err := s.connection().Do(req)
		if errors.Is(err, ErrClosed) {
			s.reconnect()
			s.out[place] = "closed the connection"
			return nil
		}
		if err != nil {
			s.reconnect()
			s.fail("step %s: %w", place, err)
		}
		if (transient(reflect.ValueOf(resp)) || !good(resp)) && time.Now().Before(deadline) {
			continue
		}
		s.names.write(s.out, place, "", reflect.ValueOf(resp))
		if s.Lane.Exact { // of a copy: scripts go on with what is in the answer
			again := req.ResponseKind()
			again.SetVersion(resp.GetVersion())
			if err := again.ReadFrom(s.connection().Raw); err != nil {
				s.fail("step %s: %w", place, err)
			}
			s.out[place+separator+bytesField] = s.names.exact(again)
		}
		return resp
	}
}

// write writes an answer down that was got in another way than by Do.
func (s *Session) write(place string, resp kmsg.Response) {
	s.names.write(s.out, place, "", reflect.ValueOf(resp))
}

// place is where the answer to a request is written down.
func (s *Session) place(req kmsg.Request, what string) string {
	place := fmt.Sprintf("%s v%s %s", kmsg.NameForKey(req.Key()), s.versionText(req), what)
	if s.steps[place]++; s.steps[place] > 1 {
		place += fmt.Sprintf(", time %d", s.steps[place])
	}
	return place
}

// versionText is the version of the script's own API; that of others is no part of a place, so that exceptions can name
// steps.
func (s *Session) versionText(req kmsg.Request) string {
	if req.Key() == s.Key {
		return fmt.Sprint(s.Version)
	}
	return "x"
}

// Silently sends a request that gets no answer, and writes down whether the connection survives it.
func (s *Session) Silently(what string, req kmsg.Request) {
	s.pin(req)
	place := s.place(req, what)
	if err := s.connection().Send(req); err != nil {
		s.fail("%s: %w", place, err)
	}
	alive := kmsg.NewPtrMetadataRequest() // which a broker answers after it
	alive.Topics = []kmsg.MetadataRequestTopic{}
	alive.Version = min(s.Lane.Versions[3].Max, alive.MaxVersion())
	_, err := s.connection().Do(alive)
	switch {
	case errors.Is(err, ErrClosed):
		s.reconnect()
		s.out[place] = "closed the connection"
	case err != nil:
		s.reconnect()
		s.fail("%s: %w", place, err)
	default:
		s.out[place] = "no answer"
	}
}

// transient reports whether a code anywhere in an answer passes by itself.
func transient(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return !v.IsNil() && transient(v.Elem())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			for i := range v.Len() {
				if transient(v.Index(i)) {
					return true
				}
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Name == "ErrorCode" && retried[v.Field(i).Int()] || f.IsExported() && transient(v.Field(i)) {
				return true
			}
		}
	}
	return false
}

// admin asks the target cluster itself, and may not be refused.
func (s *Session) admin(req kmsg.Request) kmsg.Response {
	if v, ok := s.Lane.Versions[req.Key()]; ok {
		req.SetVersion(min(v.Max, req.MaxVersion()))
	}
	for deadline := time.Now().Add(retryFor); ; time.Sleep(5 * time.Millisecond) {
		resp, err := s.Lane.Admin.Do(req)
		if err != nil {
			s.fail("ask the target cluster for %s: %w", kmsg.NameForKey(req.Key()), err)
		}
		if !transient(reflect.ValueOf(resp)) || time.Now().After(deadline) {
			return resp
		}
	}
}

// Feed writes records to a topic on the target cluster, behind everybody's back.
func (s *Session) Feed(topic string, partition int32, values ...string) {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 10_000
	req.Version = 9
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = s.Lane.Backing(topic)
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, plain(values...).bytes()
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := s.Lane.Admin.Do(req)
	if err != nil {
		s.fail("feed %s: %w", topic, err)
	}
	if code := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
		s.fail("feed %s: error code %d", topic, code)
	}
}

// mine reports whether a name on the target cluster is one of this script's, and returns it as the client calls it.
func (s *Session) mine(physical string) (string, bool) {
	if !strings.Contains(physical, s.cell) {
		return "", false
	}
	at := strings.Index(physical, s.Lane.Tag)
	if at < 0 || s.Lane.Physical(s.App, physical[at:]) != physical {
		return "", false
	}
	return physical[at:], true
}
