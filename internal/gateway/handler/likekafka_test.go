package handler

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What test/differential found to be answered differently than by Kafka.

// Behind the application's prefix an empty name would be a name like any other.
func TestEmptyNamesAreRefusedAsKafkaDoes(t *testing.T) {
	ask := exchanger(granted(t, nil), still{}, new(bytes.Buffer))
	for _, version := range []int16{0, 5, 9} {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Version, req.ProtocolType = version, "consumer"
		action := ask(req)
		if action.Upstream != nil || action.Answer == nil {
			t.Fatalf("JoinGroup v%d without a group goes upstream: %+v", version, action)
		}
		if got := action.Answer.(*kmsg.JoinGroupResponse); got.ErrorCode != kerr.InvalidGroupID.Code || got.Generation != -1 || (got.Protocol == nil) != (version >= 7) {
			t.Errorf("JoinGroup v%d without a group: %+v", version, got)
		}
	}
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionalID = 4, new(string)
	action := ask(req)
	if got, ok := action.Answer.(*kmsg.InitProducerIDResponse); !ok || got.ErrorCode != kerr.InvalidRequest.Code || got.ProducerID != -1 {
		t.Errorf("InitProducerId with an empty transactional id: %+v", action)
	}
}

func TestControllersAreRefusedAsABrokerDoes(t *testing.T) {
	req := kmsg.NewPtrDescribeClusterRequest()
	req.Version, req.EndpointType = 1, 2
	got, ok := exchanger(granted(t, nil), still{}, new(bytes.Buffer))(req).Answer.(*kmsg.DescribeClusterResponse)
	if !ok || got.ErrorCode != kerr.MismatchedEndpointType.Code || got.EndpointType != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestOperationsOfAGroupThatIsNotThereAreUnknown(t *testing.T) {
	g := granted(t, nil)
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Version, req.Groups, req.IncludeAuthorizedOperations = 6, []string{"here", "absent"}, true
	action := exchanger(g, still{}, new(bytes.Buffer))(req)
	resp := kmsg.NewPtrDescribeGroupsResponse()
	for name, code := range map[string]int16{"here": 0, "absent": kerr.GroupIDNotFound.Code} {
		group := kmsg.NewDescribeGroupsResponseGroup()
		group.Group, group.ErrorCode = g.Prefix+name, code
		resp.Groups = append(resp.Groups, group)
	}
	out, err := action.Response(resp)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range out.(*kmsg.DescribeGroupsResponse).Groups {
		want := int32(groupOperations)
		if group.Group == "absent" {
			want = authorizedUnknown
		}
		if group.AuthorizedOperations != want {
			t.Errorf("group %q: operations %d, want %d", group.Group, group.AuthorizedOperations, want)
		}
	}
}
