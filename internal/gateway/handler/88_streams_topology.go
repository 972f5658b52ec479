package handler

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// Statuses of a member of a streams group.
const (
	missingSourceTopics   int8 = 1
	missingInternalTopics int8 = 3
)

// Bounds of a topology: partitions are worked out in time proportional to the
// product of both.
const (
	maxSubtopologies  = 500
	maxTopologyTopics = 5000
)

// preparedTopology is a topology with backing names, or why it cannot run.
type preparedTopology struct {
	status []kmsg.StreamsGroupHeartbeatResponseStatus
	// What the broker may create, taken from the namespace.
	room  *room
	taken []string
}

// settle notes the broker's answer to the topology: what it was taken for will
// be there soon, or not at all.
func (p *preparedTopology) settle(code int16) {
	if p == nil {
		return
	}
	for _, backing := range p.taken {
		p.room.settle(backing, map[string]int16{backing: code}, false)
	}
}

// prepareTopology maps a topology in place. The refusal is one that ends the
// client, for what no grant can mend; what may change is a status.
func (x *Exchange) prepareTopology(topology *kmsg.StreamsGroupHeartbeatRequestTopology) (*preparedTopology, *kerr.Error, string, error) {
	p := new(preparedTopology)
	refuse := func(e *kerr.Error, format string, args ...any) (*preparedTopology, *kerr.Error, string, error) {
		return nil, e, fmt.Sprintf(format, args...), nil
	}
	fail := func(err error) (*preparedTopology, *kerr.Error, string, error) { return nil, nil, "", err }

	subtopologies := topology.Subtopologies
	count := 0
	for i := range subtopologies {
		s := &subtopologies[i]
		count += len(s.SourceTopics) + len(s.RepartitionSinkTopics) + len(s.RepartitionSourceTopics) + len(s.StateChangelogTopics)
	}
	if len(subtopologies) > maxSubtopologies || count > maxTopologyTopics {
		return refuse(kerr.StreamsInvalidTopology, "A topology may have %d subtopologies and name %d topics, this one has %d and %d.", maxSubtopologies, maxTopologyTopics, len(subtopologies), count)
	}
	internal := map[string]*kmsg.TopicInfo{} // by exposed name
	var sources []string
	for i := range subtopologies {
		s := &subtopologies[i]
		if len(s.SourceTopicRegex) > 0 {
			return refuse(kerr.InvalidRequest, "Regular expressions for source topics are not supported yet.")
		}
		own := slices.Clone(s.RepartitionSinkTopics)
		for _, list := range [][]kmsg.TopicInfo{s.RepartitionSourceTopics, s.StateChangelogTopics} {
			for j := range list {
				t := &list[j]
				own = append(own, t.Topic)
				if code, message := forbiddenInfo(t.Configs); code != nil {
					return refuse(kerr.StreamsInvalidTopology, "Internal topic %s: %s", t.Topic, *message)
				}
			}
		}
		for _, name := range slices.Concat(s.SourceTopics, own) {
			if grant.Internal(name) {
				return refuse(kerr.StreamsInvalidTopology, "Use of Kafka internal topic %s in a Kafka Streams topology is prohibited.", name)
			}
			if !grant.LegalTopicName(name) || len(name) > grant.MaxTopicName-grant.PrefixLength {
				return refuse(kerr.StreamsInvalidTopology, "Topic name %s is not valid: it has 1 to %d characters of a-z A-Z 0-9 . _ -", clipped(name), grant.MaxTopicName-grant.PrefixLength)
			}
		}
		sources = append(sources, s.SourceTopics...)
		for j := range s.RepartitionSourceTopics {
			internal[s.RepartitionSourceTopics[j].Topic] = &s.RepartitionSourceTopics[j]
		}
		// A source topic that is its own changelog is nothing to create.
		reads := sourcesOf(s)
		for j := range s.StateChangelogTopics {
			if t := &s.StateChangelogTopics[j]; !reads[t.Topic] {
				internal[t.Topic] = t
			}
		}
		for _, name := range s.RepartitionSinkTopics {
			if internal[name] == nil {
				internal[name] = nil // a source topic elsewhere, else it is created by nobody
			}
		}
	}
	slices.Sort(sources)
	sources = slices.Compact(sources)

	partitions := make(map[string]int, len(sources)+len(internal)) // by exposed name
	backing := make(map[string]string, len(sources)+len(internal))
	var missing []string
	for _, name := range sources {
		t := x.named(name, grant.Describe)
		n := 0
		if t.allowed() {
			var err error
			if n, err = x.partitionsOf(t.backing); err != nil {
				return fail(err)
			}
		} else {
			x.reject(&t, grant.Describe)
		}
		if n == 0 {
			missing = append(missing, name)
			continue
		}
		partitions[name], backing[name] = n, t.backing
	}
	if len(missing) > 0 {
		p.tell(missingSourceTopics, "Source topics "+listed(missing)+" are missing.")
		return p, nil, "", nil
	}
	if err := x.roomFor(p, subtopologies, internal, partitions, backing); err != nil || len(p.status) > 0 {
		return p, nil, "", err
	}

	rename := func(name *string) { *name = backing[*name] }
	for i := range subtopologies {
		s := &subtopologies[i]
		for j := range s.SourceTopics {
			rename(&s.SourceTopics[j])
		}
		for j := range s.RepartitionSinkTopics {
			rename(&s.RepartitionSinkTopics[j])
		}
		for _, list := range [][]kmsg.TopicInfo{s.RepartitionSourceTopics, s.StateChangelogTopics} {
			for j := range list {
				rename(&list[j].Topic)
			}
		}
	}
	return p, nil, "", nil
}

// roomFor finds the backing names of internal topics, and takes the room for
// those that the broker will create. What it cannot have is a status.
func (x *Exchange) roomFor(p *preparedTopology, subtopologies []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology, internal map[string]*kmsg.TopicInfo, partitions map[string]int, backing map[string]string) error {
	if len(internal) == 0 {
		return nil
	}
	names := make([]string, 0, len(internal))
	for name := range internal {
		names = append(names, name)
	}
	slices.Sort(names)
	decidePartitions(subtopologies, partitions)

	room, err := newRoom(x, int32(waitAgain.Milliseconds()))
	if err != nil {
		return err
	}
	defer room.close()
	p.room = room
	var unauthorized []string
	for _, name := range names {
		physical, ok := x.Grant.OwnTopic(name)
		if !ok {
			t := target{exposed: name, decision: grant.Decision{Verdict: grant.RefuseRight, Rule: "no namespace to create internal topics in"}}
			if x.Grant.Topic(name) != nil {
				t.decision.Rule = "the name of an internal topic is that of a subscribed one"
			}
			x.reject(&t, grant.Write)
			unauthorized = append(unauthorized, name)
			continue
		}
		backing[name] = physical
		if _, exists := room.seen[physical]; exists || internal[name] == nil {
			continue
		}
		t := x.named(name, grant.Write)
		if t.decision.Verdict != grant.Allow {
			p.tell(missingInternalTopics, "Internal topics are missing: "+name+"; "+*text(t.decision, x.reject(&t, grant.Write)))
			break
		}
		if code, message := room.take(&t, max(partitions[name], 1)); code != 0 {
			p.tell(missingInternalTopics, "Internal topics are missing: "+name+"; "+*message)
			break
		}
		p.taken = append(p.taken, physical)
	}
	if len(unauthorized) > 0 {
		p.tell(missingInternalTopics, "Internal topics are missing: "+listed(unauthorized)+"; Unauthorized to CREATE on topics "+listed(unauthorized)+".")
	}
	if len(p.status) > 0 { // nothing is sent, so nothing is made
		p.settle(kerr.PolicyViolation.Code)
		p.taken = nil
	}
	return nil
}

// decidePartitions adds the partition counts that a broker gives to internal
// topics: a repartition topic that does not say has as many as the largest
// topic that leads into it, all of a copartition group have as many as its
// largest, and a changelog as many as its subtopology has tasks.
func decidePartitions(subtopologies []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology, partitions map[string]int) {
	flexible := map[string]bool{}
	for _, s := range subtopologies {
		for _, t := range s.RepartitionSourceTopics {
			if t.NumPartitions > 0 {
				partitions[t.Topic] = int(t.NumPartitions)
			} else {
				flexible[t.Topic] = true
			}
		}
	}
	tasks := func(s *kmsg.StreamsGroupHeartbeatRequestTopologySubtopology) int {
		n := 0
		for _, name := range s.SourceTopics {
			n = max(n, partitions[name])
		}
		for _, t := range s.RepartitionSourceTopics {
			n = max(n, partitions[t.Topic])
		}
		return n
	}
	for grown := true; grown; { // counts only grow, up to the largest of all
		grown = false
		for i := range subtopologies {
			n := tasks(&subtopologies[i])
			for _, sink := range subtopologies[i].RepartitionSinkTopics {
				if flexible[sink] && n > partitions[sink] {
					partitions[sink], grown = n, true
				}
			}
		}
	}
	for i := range subtopologies {
		s := &subtopologies[i]
		for _, g := range s.CopartitionGroups {
			n := 0
			for _, at := range g.SourceTopics {
				if int(at) >= 0 && int(at) < len(s.SourceTopics) {
					n = max(n, partitions[s.SourceTopics[at]])
				}
			}
			var together []string
			for _, at := range g.RepartitionSourceTopics {
				if int(at) >= 0 && int(at) < len(s.RepartitionSourceTopics) {
					together = append(together, s.RepartitionSourceTopics[at].Topic)
					n = max(n, partitions[s.RepartitionSourceTopics[at].Topic])
				}
			}
			for _, name := range together {
				if flexible[name] {
					partitions[name] = n
				}
			}
		}
	}
	for i := range subtopologies {
		n, reads := tasks(&subtopologies[i]), sourcesOf(&subtopologies[i])
		for _, t := range subtopologies[i].StateChangelogTopics {
			if !reads[t.Topic] {
				partitions[t.Topic] = max(n, int(t.NumPartitions))
			}
		}
	}
}

func sourcesOf(s *kmsg.StreamsGroupHeartbeatRequestTopologySubtopology) map[string]bool {
	set := make(map[string]bool, len(s.SourceTopics))
	for _, name := range s.SourceTopics {
		set[name] = true
	}
	return set
}

// partitionsOf returns how many partitions a topic of the target cluster has, 0
// for one that does not exist.
func (x *Exchange) partitionsOf(backing string) (int, error) {
	topics, err := x.Conn.Cluster.Topics(x.Context, backing)
	if err != nil || len(topics) == 0 || topics[0].Name != backing {
		return 0, err
	}
	return max(topics[0].Partitions, 1), nil
}

func forbiddenInfo(configs []kmsg.TopicInfoConfig) (*kerr.Error, *string) {
	list := make([]kmsg.CreateTopicsRequestTopicConfig, len(configs))
	for i := range configs {
		list[i].Name, list[i].Value = configs[i].Key, &configs[i].Value
	}
	if code, message := forbiddenConfig(list); code != 0 {
		return kerr.PolicyViolation, message
	}
	return nil, nil
}

// maxStatus bounds a status, which a waiting member is told again and again.
const maxStatus = 4096

func (p *preparedTopology) tell(code int8, detail string) {
	s := kmsg.NewStreamsGroupHeartbeatResponseStatus()
	s.StatusCode, s.StatusDetail = code, detail[:min(len(detail), maxStatus)]
	p.status = append(p.status, s)
}

// listed joins names, in order, as many as fit a text.
func listed(names []string) string {
	const most = 20
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// clipped is a name of a client for a text.
func clipped(name string) string { return fmt.Sprintf("%.100q", name) }

// exposeText maps topic names in a text that a broker writes about a topology.
// Words that are neither numbers nor the application's topics nor of Kafka's own
// vocabulary are not passed on: they may name what is there.
func (x *Exchange) exposeText(s string) string {
	var out strings.Builder
	for len(s) > 0 {
		n := strings.IndexFunc(s, func(r rune) bool { return !nameRune(r) })
		switch {
		case n < 0:
			n = len(s)
		case n == 0:
			end := strings.IndexFunc(s, nameRune)
			if end < 0 {
				end = len(s)
			}
			out.WriteString(s[:end])
			s = s[end:]
			continue
		}
		// A full stop at the end of a sentence is no part of a name, though one
		// may end with it.
		word := s[:n]
		bare := strings.TrimRight(word, ".")
		switch exposed, ok := x.expose(word); {
		case ok:
			out.WriteString(exposed)
		default:
			if exposed, ok := x.expose(bare); ok {
				out.WriteString(exposed)
			} else if topologyWords[bare] || digits(bare) {
				out.WriteString(bare)
			} else {
				out.WriteString("(…)")
			}
			out.WriteString(word[len(bare):])
		}
		s = s[n:]
	}
	return out.String()
}

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// topologyWords are the words of what brokers up to Kafka 4.3 say of a topology.
var topologyWords = func() map[string]bool {
	words := map[string]bool{"": true}
	for w := range strings.FieldsFuncSeq(`
		Source topics are missing. Internal topics are missing: Missing source topics: none of which and more total first
		Existing topic has different number of partitions: expected, found
		Number of partitions must be set for topic. Number of partitions is not set for topic:
		All topics in the copartition group had undefined partition number:
		Following topics do not have the same number of partitions: The following topics
		Number of partitions of repartition topic doesn't match number of partitions of the source topic.
		Subtopology does not contain any source topics
		Failed to compute number of partitions for all repartition topics, because a repartition source topic is never used as a sink topic.
		There may be loops in the topology that cannot be resolved.
		The member's topology epoch is behind the group's topology epoch.
		Streams group member encountered a fatal error and requested a shutdown for the entire application.
		Assignment delayed due to the configured initial rebalance delay. Unauthorized to CREATE on topics. Creation failed: exists already`,
		func(r rune) bool { return !nameRune(r) }) {
		words[strings.TrimRight(w, ".")] = true
	}
	return words
}()
