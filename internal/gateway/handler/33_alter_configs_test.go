package handler

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// administered is an application with a namespace and topics of each standing:
// a may be administered, b not, paused and gone no more, never not at all.
func administered(t testing.TB) *grant.Grant {
	return granted(t, func(g *grant.Grant) {
		g.Namespace = grant.Namespace{Topics: 5, Partitions: 5}
		g.Groups = []string{"adopted"}
		g.Topics[0].DeleteRecords, g.Topics[0].AlterConfigs = true, true
		for i, state := range []grant.State{grant.Suspended, grant.Ended, grant.Refused} {
			name := []string{"paused", "gone", "never"}[i]
			g.Topics = append(g.Topics, &grant.Topic{Exposed: name, Backing: "phys." + name, ID: grant.TopicID{8, byte(i)}, DeleteRecords: true, AlterConfigs: true,
				Read: grant.Right{Access: grant.Granted}, Phases: []grant.Phase{{State: state, Rule: "phase", Message: "the subscription is over"}}})
		}
	})
}

func TestDeletingRecordsByStanding(t *testing.T) {
	g := administered(t)
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Version, req.TimeoutMillis = 2, 1234
	for _, name := range []string{"b", "a", "paused", "mine", "gone", "never", "__x", "a/b"} {
		rt, p := kmsg.NewDeleteRecordsRequestTopic(), kmsg.NewDeleteRecordsRequestTopicPartition()
		p.Partition, p.Offset = 3, 77
		rt.Topic, rt.Partitions = name, append(rt.Partitions, p)
		req.Topics = append(req.Topics, rt)
	}
	var log bytes.Buffer
	action := exchanger(g, still{}, &log)(req)
	up := action.Upstream.(*kmsg.DeleteRecordsRequest)
	if up.TimeoutMillis != 1234 || len(up.Topics) != 2 || up.Topics[0].Topic != "phys.a" || up.Topics[1].Topic != g.Prefix+"mine" || up.Topics[0].Partitions[0].Offset != 77 {
		t.Errorf("upstream gets %+v", up)
	}
	resp := kmsg.NewPtrDeleteRecordsResponse()
	for _, name := range []string{g.Prefix + "mine", "phys.secret", "phys.a"} {
		rt, p := kmsg.NewDeleteRecordsResponseTopic(), kmsg.NewDeleteRecordsResponseTopicPartition()
		p.Partition, p.LowWatermark = 3, 77
		rt.Topic, rt.Partitions = name, append(rt.Partitions, p)
		resp.Topics = append(resp.Topics, rt)
	}
	if _, err := action.Response(resp); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, rt := range resp.Topics {
		got = append(got, fmt.Sprintf("%s/%d=%d:%d", rt.Topic, rt.Partitions[0].Partition, rt.Partitions[0].ErrorCode, rt.Partitions[0].LowWatermark))
	}
	want := []string{"b/3=29:-1", "a/3=0:77", "paused/3=44:-1", "mine/3=0:77", "gone/3=44:-1", "never/3=29:-1", "__x/3=29:-1", "a/b/3=29:-1"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if n := strings.Count(log.String(), "msg=rejected"); n != 6 {
		t.Errorf("%d refusals in the log, want 6:\n%s", n, &log)
	}
}

// alteration is one resource of a request, "kind:name key=value …", where + - !
// before a key append, subtract and delete.
type alteration struct{ resource, want string }

func parseResource(s string) (kind kmsg.ConfigResourceType, name string, settings []setting) {
	f := strings.Fields(s)
	word, name, _ := strings.Cut(f[0], ":")
	kind = map[string]kmsg.ConfigResourceType{"topic": 2, "broker": 4, "logger": 8, "metrics": 16, "group": 32, "odd": 77}[word]
	for _, c := range f[1:] {
		key, value, ok := strings.Cut(c, "=")
		e := setting{name: key, value: &value}
		if !ok {
			e.value = nil
		}
		switch key[0] {
		case '+':
			e.name, e.op = key[1:], kmsg.IncrementalAlterConfigOpAppend
		case '-':
			e.name, e.op = key[1:], kmsg.IncrementalAlterConfigOpSubtract
		case '!':
			e.name, e.op = key[1:], kmsg.IncrementalAlterConfigOpDelete
		}
		settings = append(settings, e)
	}
	return kind, name, settings
}

// alterations are asked for in one request, and answered in its order. The want
// of one that goes upstream is what it is there, otherwise "=code".
func alterations(prefix string) []alteration {
	return []alteration{
		{"broker:1 log.cleaner.threads=9", "=31"},
		{"topic:a retention.ms=600000", "2 phys.a"},
		{"topic:b retention.ms=600000", "=29"},
		{"topic:mine retention.ms=600000 cleanup.policy=compact", "2 " + prefix + "mine"},
		{"topic:paused retention.ms=600000", "=44"},
		{"topic:gone retention.ms=600000", "=44"},
		{"topic:never retention.ms=600000", "=29"},
		{"topic:__x retention.ms=600000", "=29"},
		{"topic: retention.ms=600000", "=29"},
		{"topic:other retention.ms=1", "=44"},
		{"topic:other2 retention.ms=600000 min.insync.replicas=99", "=44"},
		{"topic:other3 unclean.leader.election.enable=false", "=44"},
		{"topic:other4 retention.ms", "=42"},
		{"logger:1 root=DEBUG", "=31"},
		{"metrics:all interval.ms=1", "=31"},
		{"odd:thing a=b", "=31"},
	}
}

func TestAlteringConfigsByStanding(t *testing.T) {
	g := administered(t)
	type part struct {
		name   string
		common []alteration
		ask    func([]alteration) kmsg.Request
		sent   func(kmsg.Request) []string
		answer func(kmsg.Request) kmsg.Response // everything was good, and something foreign
		says   func(kmsg.Response) []string
	}
	secret := "broker-7.internal says no"
	for _, p := range []part{
		{"incremental", append(alterations(g.Prefix), []alteration{
			{"group:mine consumer.session.timeout.ms=60000", "32 " + g.Prefix + "mine"},
			{"group:adopted share.auto.offset.reset=earliest !share.session.timeout.ms", "32 adopted"},
			{"group: consumer.session.timeout.ms=60000", "=42"},
			{"group:mine2 group.protocol=x", "=44"},
			{"group:mine3 +share.isolation.level=x", "=40"},
			{"topic:list +cleanup.policy=compact -cleanup.policy=delete", "2 " + g.Prefix + "list"},
			{"topic:list2 +cleanup.policy=shred", "=44"},
			{"topic:list3 +retention.ms=600000", "=40"},
			{"topic:back !retention.ms", "2 " + g.Prefix + "back"},
			{"topic:back2 !unclean.leader.election.enable", "=44"}, // it is set
			{"topic:back3 !remote.log.delete.on.disable retention.ms=600000 !index.interval.bytes", "2 " + g.Prefix + "back3"},
			{"topic:back4 remote.log.delete.on.disable=true", "=44"},
			{"topic:nothing", "2 " + g.Prefix + "nothing"},
		}...), func(all []alteration) kmsg.Request {
			req := kmsg.NewPtrIncrementalAlterConfigsRequest()
			req.Version, req.ValidateOnly = 1, true
			for _, a := range all {
				r := kmsg.NewIncrementalAlterConfigsRequestResource()
				var settings []setting
				r.ResourceType, r.ResourceName, settings = parseResource(a.resource)
				for _, s := range settings {
					r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: s.name, Op: s.op, Value: s.value})
				}
				req.Resources = append(req.Resources, r)
			}
			return req
		}, func(r kmsg.Request) (out []string) {
			req := r.(*kmsg.IncrementalAlterConfigsRequest)
			if !req.ValidateOnly {
				out = append(out, "no longer only to be validated")
			}
			for _, r := range req.Resources {
				out = append(out, fmt.Sprintf("%d %s", r.ResourceType, r.ResourceName))
				if strings.HasSuffix(r.ResourceName, "back3") && (len(r.Configs) != 1 || r.Configs[0].Name != "retention.ms") {
					out = append(out, fmt.Sprintf("what is not set is deleted: %v", r.Configs))
				}
			}
			return out
		}, func(r kmsg.Request) kmsg.Response {
			resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
			for _, r := range r.(*kmsg.IncrementalAlterConfigsRequest).Resources {
				resp.Resources = append(resp.Resources, kmsg.IncrementalAlterConfigsResponseResource{ResourceType: r.ResourceType, ResourceName: r.ResourceName, ErrorMessage: &secret})
			}
			resp.Resources = append(resp.Resources, kmsg.IncrementalAlterConfigsResponseResource{ResourceType: 2, ResourceName: "phys.secret"})
			slices.Reverse(resp.Resources)
			return resp
		}, func(r kmsg.Response) (out []string) {
			for _, r := range r.(*kmsg.IncrementalAlterConfigsResponse).Resources {
				out = append(out, fmt.Sprintf("%d:%s=%d", r.ResourceType, r.ResourceName, r.ErrorCode))
				if r.ErrorMessage != nil && *r.ErrorMessage == secret {
					out = append(out, "a broker's text")
				}
			}
			return out
		}},
		{"replacing", append(alterations(g.Prefix), []alteration{
			{"group:mine consumer.session.timeout.ms=60000", "=42"},
			{"topic:same unclean.leader.election.enable=true", "2 " + g.Prefix + "same"},
			{"topic:nothing", "2 " + g.Prefix + "nothing"},
		}...), func(all []alteration) kmsg.Request {
			req := kmsg.NewPtrAlterConfigsRequest()
			req.Version, req.ValidateOnly = 2, true
			for _, a := range all {
				r := kmsg.NewAlterConfigsRequestResource()
				var settings []setting
				r.ResourceType, r.ResourceName, settings = parseResource(a.resource)
				for _, s := range settings {
					r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: s.name, Value: s.value})
				}
				req.Resources = append(req.Resources, r)
			}
			return req
		}, func(r kmsg.Request) (out []string) {
			req := r.(*kmsg.AlterConfigsRequest)
			if !req.ValidateOnly {
				out = append(out, "no longer only to be validated")
			}
			for _, r := range req.Resources {
				out = append(out, fmt.Sprintf("%d %s", r.ResourceType, r.ResourceName))
				kept := 0
				for _, c := range r.Configs {
					switch {
					case c.Name == "unclean.leader.election.enable" && *c.Value == "true":
						kept++
					case c.Name == "retention.ms" && *c.Value == "86400000":
						out = append(out, "what the application had set is kept, though it is to be replaced")
					}
				}
				if kept != 1 {
					out = append(out, fmt.Sprintf("what the operator has set is sent %d times", kept))
				}
			}
			return out
		}, func(r kmsg.Request) kmsg.Response {
			resp := kmsg.NewPtrAlterConfigsResponse()
			for _, r := range r.(*kmsg.AlterConfigsRequest).Resources {
				resp.Resources = append(resp.Resources, kmsg.AlterConfigsResponseResource{ResourceType: r.ResourceType, ResourceName: r.ResourceName, ErrorMessage: &secret})
			}
			resp.Resources = append(resp.Resources, kmsg.AlterConfigsResponseResource{ResourceType: 2, ResourceName: "phys.secret"})
			slices.Reverse(resp.Resources)
			return resp
		}, func(r kmsg.Response) (out []string) {
			for _, r := range r.(*kmsg.AlterConfigsResponse).Resources {
				out = append(out, fmt.Sprintf("%d:%s=%d", r.ResourceType, r.ResourceName, r.ErrorCode))
				if r.ErrorMessage != nil && *r.ErrorMessage == secret {
					out = append(out, "a broker's text")
				}
			}
			return out
		}},
	} {
		t.Run(p.name, func(t *testing.T) {
			var log bytes.Buffer
			serve := exchanger(g, still{}, &log)
			action := serve(p.ask(p.common))
			var sent, want []string
			var refused []alteration
			for _, a := range p.common {
				kind, name, _ := parseResource(a.resource)
				if code, local := strings.CutPrefix(a.want, "="); local {
					want = append(want, fmt.Sprintf("%d:%s=%s", kind, name, code))
					refused = append(refused, a)
				} else {
					sent = append(sent, a.want)
					want = append(want, fmt.Sprintf("%d:%s=0", kind, name))
				}
			}
			if got := p.sent(action.Upstream); !reflect.DeepEqual(got, sent) {
				t.Errorf("upstream gets\n%q, want\n%q", got, sent)
			}
			resp, err := action.Response(p.answer(action.Upstream))
			if err != nil {
				t.Fatal(err)
			}
			if got := p.says(resp); !reflect.DeepEqual(got, want) {
				t.Errorf("answered\n%q, want\n%q", got, want)
			}
			if !strings.Contains(log.String(), "dropped") {
				t.Error("a foreign topic in the answer is not logged")
			}
			if action := serve(p.ask(refused)); action.Upstream != nil || len(p.says(action.Answer)) != len(refused) {
				t.Errorf("only what is refused: %+v", action)
			}
		})
	}
}

func TestConfigResourcesAreListed(t *testing.T) {
	g := administered(t)
	broker := map[int8][]string{
		2:  {"phys.a", "phys.b", "phys.gone", "phys.secret", g.Prefix + "mine", "tzzzzzzzzzzzz.other", "__consumer_offsets"},
		32: {g.Prefix + "mine", "adopted", "foreign", "tzzzzzzzzzzzz.other"},
		4:  {"1"}, 8: {"1"}, 16: {"metrics"},
	}
	for _, tc := range []struct {
		name  string
		types []int8
		sent  []int8
		want  []string // or an error
		code  *kerr.Error
	}{
		{"everything", nil, []int8{2, 32}, []string{"2 a", "2 b", "2 mine", "32 mine", "32 adopted"}, nil},
		{"topics, twice", []int8{2, 2}, []int8{2}, []string{"2 a", "2 b", "2 mine"}, nil},
		{"groups and what is hidden", []int8{16, 32, 4}, []int8{32}, []string{"32 mine", "32 adopted"}, nil},
		{"only what is hidden", []int8{4, 8, 16}, nil, nil, kerr.ClusterAuthorizationFailed},
		{"a type nobody knows", []int8{2, 3}, nil, nil, kerr.UnsupportedVersion},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := kmsg.NewPtrListConfigResourcesRequest()
			req.Version, req.ResourceTypes = 1, tc.types
			action := exchanger(g, still{}, new(bytes.Buffer))(req)
			if tc.code != nil {
				if action.Upstream != nil || action.Answer.(*kmsg.ListConfigResourcesResponse).ErrorCode != tc.code.Code {
					t.Errorf("got %+v, want %v", action, tc.code)
				}
				return
			}
			if got := action.Upstream.(*kmsg.ListConfigResourcesRequest).ResourceTypes; !reflect.DeepEqual(got, tc.sent) {
				t.Errorf("upstream is asked for %v, want %v", got, tc.sent)
			}
			resp := kmsg.NewPtrListConfigResourcesResponse()
			for _, kind := range []int8{2, 4, 8, 16, 32} { // a broker that answers more than it was asked
				for _, name := range broker[kind] {
					if slices.Contains(tc.sent, kind) || kind == 4 {
						resp.ConfigResources = append(resp.ConfigResources, kmsg.ListConfigResourcesResponseConfigResource{Type: kind, Name: name})
					}
				}
			}
			if _, err := action.Response(resp); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range resp.ConfigResources {
				got = append(got, fmt.Sprintf("%d %s", c.Type, c.Name))
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
