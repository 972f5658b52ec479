package handler

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// ListConfigResources, version 1 (KIP-1142): the application's topics and
// groups. Brokers, their loggers and client metrics are hidden: whoever asks for
// nothing else gets the error of a cluster whose configurations he may not see.
// Version 0 knew client metrics only.

func listConfigResources(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.ListConfigResourcesRequest)
	ours := []int8{int8(kmsg.ConfigResourceTypeTopic), int8(kmsg.ConfigResourceTypeGroupConfig)}
	hidden := []int8{int8(kmsg.ConfigResourceTypeBroker), int8(kmsg.ConfigResourceTypeBrokerLogger), int8(kmsg.ConfigResourceTypeClientMetrics)}
	refuse := func(e *kerr.Error) (Action, error) {
		resp := kmsg.NewPtrListConfigResourcesResponse()
		resp.Version, resp.ErrorCode = req.Version, e.Code
		return answer(resp), nil
	}
	asked := ours // those that are supported
	if len(req.ResourceTypes) > 0 {
		asked = nil
		for _, kind := range req.ResourceTypes {
			switch {
			case slices.Contains(ours, kind) && !slices.Contains(asked, kind):
				asked = append(asked, kind)
			case !slices.Contains(ours, kind) && !slices.Contains(hidden, kind):
				return refuse(kerr.UnsupportedVersion)
			}
		}
		if len(asked) == 0 {
			return refuse(kerr.ClusterAuthorizationFailed)
		}
	}
	req.ResourceTypes = asked
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.ListConfigResourcesResponse)
		resp.Version = req.Version
		kept := resp.ConfigResources[:0]
		for _, c := range resp.ConfigResources {
			name, ok := "", false
			switch {
			case !slices.Contains(asked, c.Type):
				x.Conn.foreign(x, "resource")
			case c.Type == int8(kmsg.ConfigResourceTypeTopic):
				name, ok = x.listed(c.Name)
			default:
				name, ok = x.Grant.GroupExposed(c.Name)
			}
			if ok {
				c.Name = name
				kept = append(kept, c)
			}
		}
		resp.ConfigResources = kept
		return resp, nil
	}}, nil
}

// listed is expose for a listing, from which topics that have ended are absent.
func (x *Exchange) listed(backing string) (string, bool) {
	if t := x.Grant.TopicByBacking(backing); t != nil {
		return t.Exposed, t.Decide(grant.List, x.Now).Verdict == grant.Allow
	}
	return x.Grant.OwnTopicExposed(backing)
}
