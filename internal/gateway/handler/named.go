package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// byName is a request whose topics go by name only, with one operation on all
// of them: Q is a topic of the request, R one of the answer. Topics that are
// allowed go upstream under their backing names, the others are answered here,
// and the client finds all of them in the order it asked.
type byName[Q, R any] struct {
	op     grant.Operation
	topics *[]Q
	name   func(*Q) *string
	// refine may refuse what the grant allows. It may be nil.
	refine func(*target, *Q)
	// refused answers a topic here; its name is set afterwards. The id explains
	// the refusal in the log.
	refused func(t *target, q *Q, id string) R
	// list is where an answer has its topics, exposed where one has its name.
	list    func(kmsg.Response) *[]R
	exposed func(*R) *string
	// tidy removes from a topic of the broker's answer what clients must not
	// see besides its name. It may be nil.
	tidy func(*R, *target)
	// whole is where an answer has an error for all topics, which it does not
	// name then. It may be nil.
	whole func(kmsg.Response) (code int16, message **string)
	send  sendRule
}

// sendRule says which requests the broker has to see.
type sendRule uint8

const (
	ifTopics sendRule = iota // those with an allowed topic
	ifEmpty                  // also those that name no topic at all
	always                   // all: the answer holds more than topics
)

// serve splits the request and merges the answer.
func (n byName[Q, R]) serve(x *Exchange, req kmsg.Request) Action {
	var m merger[R]
	asked := len(*n.topics)
	forward := make([]Q, 0, asked)
	for _, q := range *n.topics {
		name := n.name(&q)
		t := x.named(*name, n.op)
		if t.allowed() && n.refine != nil {
			n.refine(&t, &q)
		}
		if t.allowed() {
			m.forward(t, false)
			*name = t.backing
			forward = append(forward, q)
			continue
		}
		out := n.refused(&t, &q, x.reject(&t, n.op))
		*n.exposed(&out) = *name
		m.answer(t, out)
	}
	version := req.GetVersion()
	finish := func(resp kmsg.Response) (kmsg.Response, error) {
		resp.SetVersion(version)
		list := n.list(resp)
		if n.whole != nil {
			code, message := n.whole(resp)
			brokerTexts(code, message)
			if code != 0 {
				*list = nil
				return resp, nil
			}
		}
		*list = m.merge(x, *list,
			func(r *R) topicKey { return topicKey{name: *n.exposed(r)} },
			func(r *R, to *target) {
				*n.exposed(r) = to.exposed
				if n.tidy != nil {
					n.tidy(r, to)
				}
			})
		return resp, nil
	}
	if !m.any && n.send != always && (asked > 0 || n.send != ifEmpty) {
		resp, _ := finish(req.ResponseKind())
		return answer(resp)
	}
	*n.topics = forward
	return Action{Upstream: req, Response: finish}
}
