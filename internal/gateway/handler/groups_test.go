package handler

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

func TestDescribedGroupsAreMapped(t *testing.T) {
	g := granted(t, func(g *grant.Grant) { g.Groups = []string{"adopted"} })
	own := g.Prefix + "mine"
	secret := "coordinator of " + own + " is broker-7.internal"
	type group struct {
		name    string
		message *string
	}
	for _, call := range []struct {
		name   string
		ask    func(groups []string) kmsg.Request
		asked  func(kmsg.Request) []string
		answer func(groups ...string) kmsg.Response // each with an error and a broker's text
		says   func(kmsg.Response) []group
	}{
		{"DescribeGroups", func(groups []string) kmsg.Request {
			return &kmsg.DescribeGroupsRequest{Version: 6, Groups: groups}
		}, func(r kmsg.Request) []string { return r.(*kmsg.DescribeGroupsRequest).Groups }, func(groups ...string) kmsg.Response {
			resp := kmsg.NewPtrDescribeGroupsResponse()
			for _, name := range groups {
				resp.Groups = append(resp.Groups, kmsg.DescribeGroupsResponseGroup{Group: name, ErrorCode: kerr.GroupIDNotFound.Code, ErrorMessage: &secret})
			}
			return resp
		}, func(r kmsg.Response) (out []group) {
			for _, g := range r.(*kmsg.DescribeGroupsResponse).Groups {
				out = append(out, group{g.Group, g.ErrorMessage})
			}
			return out
		}},
		{"DeleteGroups", func(groups []string) kmsg.Request {
			return &kmsg.DeleteGroupsRequest{Version: 2, Groups: groups}
		}, func(r kmsg.Request) []string { return r.(*kmsg.DeleteGroupsRequest).Groups }, func(groups ...string) kmsg.Response {
			resp := kmsg.NewPtrDeleteGroupsResponse()
			for _, name := range groups {
				resp.Groups = append(resp.Groups, kmsg.DeleteGroupsResponseGroup{Group: name, ErrorCode: kerr.GroupIDNotFound.Code})
			}
			return resp
		}, func(r kmsg.Response) (out []group) {
			for _, g := range r.(*kmsg.DeleteGroupsResponse).Groups {
				out = append(out, group{g.Group, nil})
			}
			return out
		}},
		{"ConsumerGroupDescribe", func(groups []string) kmsg.Request {
			return &kmsg.ConsumerGroupDescribeRequest{Version: 1, Groups: groups}
		}, func(r kmsg.Request) []string { return r.(*kmsg.ConsumerGroupDescribeRequest).Groups }, func(groups ...string) kmsg.Response {
			resp := kmsg.NewPtrConsumerGroupDescribeResponse()
			for _, name := range groups {
				resp.Groups = append(resp.Groups, kmsg.ConsumerGroupDescribeResponseGroup{Group: name, ErrorCode: kerr.GroupIDNotFound.Code, ErrorMessage: &secret})
			}
			return resp
		}, func(r kmsg.Response) (out []group) {
			for _, g := range r.(*kmsg.ConsumerGroupDescribeResponse).Groups {
				out = append(out, group{g.Group, g.ErrorMessage})
			}
			return out
		}},
	} {
		t.Run(call.name, func(t *testing.T) {
			var log bytes.Buffer
			action := exchanger(g, still{}, &log)(call.ask([]string{"mine", "adopted", own}))
			if got, want := call.asked(action.Upstream), []string{own, "adopted", g.Prefix + own}; !reflect.DeepEqual(got, want) {
				t.Errorf("upstream gets %q, want %q", got, want)
			}
			resp, err := action.Response(call.answer("adopted", "tzzzzzzzzzzzz.theirs", own, "mine"))
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, g := range call.says(resp) {
				names = append(names, g.name)
				if g.message != nil && *g.message != kerr.GroupIDNotFound.Description {
					t.Errorf("a broker's text passes: %q", *g.message)
				}
			}
			if want := []string{"adopted", "mine"}; !reflect.DeepEqual(names, want) {
				t.Errorf("answered %q, want %q", names, want)
			}
			if !strings.Contains(log.String(), "dropped") {
				t.Error("foreign groups are not logged")
			}
			if got, want := resp.GetVersion(), call.ask(nil).GetVersion(); got != want {
				t.Errorf("answered in version %d, want %d", got, want)
			}
		})
	}
}

func TestDescribedMembersAreMapped(t *testing.T) {
	g := granted(t, nil)
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Version, req.Groups, req.IncludeAuthorizedOperations = 1, []string{"mine"}, true
	action := exchanger(g, still{}, new(bytes.Buffer))(req)
	m := kmsg.NewConsumerGroupDescribeResponseGroupMember()
	m.ClientID, m.ClientHost, m.SubscribedTopics = "acme/rdkafka", "/10.1.2.3", []string{"phys.b", "phys.secret", "phys.a"}
	m.Assignment.TopicPartitions = []kmsg.AssignmentTopicPartition{{Topic: "phys.secret", TopicID: [16]byte{9}}, {Topic: "phys.a", TopicID: [16]byte{1}, Partitions: []int32{2}}}
	m.TargetAssignment.TopicPartitions = []kmsg.AssignmentTopicPartition{{Topic: "phys.b", TopicID: [16]byte{2}}}
	group := kmsg.NewConsumerGroupDescribeResponseGroup()
	group.Group, group.Members = g.Prefix+"mine", []kmsg.ConsumerGroupDescribeResponseGroupMember{m}
	resp := kmsg.NewPtrConsumerGroupDescribeResponse()
	resp.Groups = append(resp.Groups, group)
	if _, err := action.Response(resp); err != nil {
		t.Fatal(err)
	}
	got := resp.Groups[0]
	if got.AuthorizedOperations != groupOperations {
		t.Errorf("authorised operations %x, want %x", got.AuthorizedOperations, groupOperations)
	}
	m = got.Members[0]
	if m.ClientID != "rdkafka" || m.ClientHost != hiddenHost || !reflect.DeepEqual(m.SubscribedTopics, []string{"b", "a"}) {
		t.Errorf("member %+v", m)
	}
	if want := []kmsg.AssignmentTopicPartition{{Topic: "a", TopicID: g.Topic("a").ID, Partitions: []int32{2}}}; !reflect.DeepEqual(m.Assignment.TopicPartitions, want) {
		t.Errorf("assignment %+v, want %+v", m.Assignment.TopicPartitions, want)
	}
	if want := []kmsg.AssignmentTopicPartition{{Topic: "b", TopicID: g.Topic("b").ID}}; !reflect.DeepEqual(m.TargetAssignment.TopicPartitions, want) {
		t.Errorf("target assignment %+v, want %+v", m.TargetAssignment.TopicPartitions, want)
	}
}
