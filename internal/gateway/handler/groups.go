package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ofGroups is a request about several groups by name, whose answer has an entry
// G for each: the descriptions of all kinds of groups, and their deletion.
// Groups are mapped, entries that nobody asked for are dropped and counted, and
// brokers' texts replaced.
type ofGroups[G any] struct {
	groups []string // of the request, mapped in place
	// list is where an answer has its groups, fields where one has its name and
	// error; message is nil where the Kafka API has no text.
	list   func(kmsg.Response) *[]G
	fields func(*G) (name *string, code int16, message **string)
	// each maps the rest of a group, whose own name is the client's by then. It
	// may be nil.
	each func(*G)
}

// serve maps the request's groups and the answer.
func (n ofGroups[G]) serve(x *Exchange, req kmsg.Request) Action {
	asked := make(map[string]string, len(n.groups))
	for i, g := range n.groups {
		n.groups[i] = x.Grant.Group(g)
		asked[n.groups[i]] = g
	}
	version := req.GetVersion()
	return Action{Upstream: req, Response: func(resp kmsg.Response) (kmsg.Response, error) {
		resp.SetVersion(version)
		list := n.list(resp)
		kept := (*list)[:0]
		for _, g := range *list {
			name, code, message := n.fields(&g)
			exposed, ok := asked[*name]
			if !ok {
				x.Conn.foreign(x, "group")
				continue
			}
			*name = exposed
			if message != nil {
				brokerTexts(code, message)
			}
			if n.each != nil {
				n.each(&g)
			}
			kept = append(kept, g)
		}
		*list = kept
		return resp, nil
	}}
}

// hiddenHost stands for the host of a group's member.
const hiddenHost = "/0.0.0.0"

// exposeMember hides what the gateway put into a member: the application's name
// before its client id, and a host which is ours as the broker sees it.
func (x *Exchange) exposeMember(clientID, clientHost *string) {
	*clientID, *clientHost = x.clientID(*clientID), hiddenHost
}

// exposeNames maps topic names of the target cluster in place and leaves out
// those that are not the application's.
func (x *Exchange) exposeNames(backing []string) []string {
	out := backing[:0]
	for _, n := range backing {
		if exposed, ok := x.expose(n); ok {
			out = append(out, exposed)
		}
	}
	return out
}

// exposeEach maps the topics of a list in place, which at finds in an entry: a
// name, and an id, nil where entries have none. Foreign topics are dropped and
// counted.
func exposeEach[T any](x *Exchange, in []T, at func(*T) (name *string, id *[16]byte)) []T {
	out := in[:0]
	for _, t := range in {
		name, id := at(&t)
		exposed, ok := x.expose(*name)
		if !ok {
			x.Conn.foreign(x, "topic")
			continue
		}
		if id != nil {
			*id, _ = x.exposeID(*name, *id)
		}
		*name = exposed
		out = append(out, t)
	}
	return out
}

// exposeIDs maps the topics of a list, which go by id only, in place. Foreign
// ones are dropped and counted.
func exposeIDs[T any](x *Exchange, in []T, id func(*T) *[16]byte) ([]T, error) {
	out := in[:0]
	for _, t := range in {
		physical := *id(&t)
		backing, ok, err := x.Conn.Cluster.TopicName(x.Context, physical)
		if err != nil {
			return nil, err
		}
		virtual, mine := x.exposeID(backing, physical)
		if !ok || !mine {
			x.Conn.foreign(x, "topic id")
			continue
		}
		*id(&t) = virtual
		out = append(out, t)
	}
	return out, nil
}
