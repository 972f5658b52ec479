package handler

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// DescribeConfigs, versions 1 to 4: of topics and groups, which are mapped.
// Brokers and their loggers are refused one by one, sensitive values and those
// that name brokers are left out.

func describeConfigs(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.DescribeConfigsRequest)
	type resource struct {
		kind kmsg.ConfigResourceType
		name string
	}
	type entry struct {
		asked resource
		sent  resource
		local *kmsg.DescribeConfigsResponseResource
	}
	var entries []entry
	var forward []kmsg.DescribeConfigsRequestResource
	for _, rr := range req.Resources {
		e := entry{asked: resource{rr.ResourceType, rr.ResourceName}}
		refuse := func(code int16, rule string) {
			out := kmsg.NewDescribeConfigsResponseResource()
			out.ResourceType, out.ResourceName, out.ErrorCode = rr.ResourceType, rr.ResourceName, code
			d := grant.Decision{Verdict: grant.RefuseRight, Rule: rule}
			out.ErrorMessage = text(grant.Decision{}, x.rejectNamed("resource", rr.ResourceName, "describe configs", d))
			e.local = &out
		}
		switch rr.ResourceType {
		case kmsg.ConfigResourceTypeTopic:
			t := x.named(rr.ResourceName, grant.Describe)
			if !t.allowed() {
				refuse(kerr.TopicAuthorizationFailed.Code, t.decision.Rule)
				break
			}
			rr.ResourceName = t.backing
		case kmsg.ConfigResourceTypeGroupConfig:
			rr.ResourceName = x.Grant.Group(rr.ResourceName)
		default:
			refuse(kerr.ClusterAuthorizationFailed.Code, "brokers are not part of a virtual cluster")
		}
		if e.local == nil {
			e.sent = resource{rr.ResourceType, rr.ResourceName}
			forward = append(forward, rr)
		}
		entries = append(entries, e)
	}
	finish := func(resp *kmsg.DescribeConfigsResponse) kmsg.Response {
		resp.Version = req.Version
		answered := make(map[resource]*kmsg.DescribeConfigsResponseResource, len(resp.Resources))
		for i := range resp.Resources {
			rr := &resp.Resources[i]
			answered[resource{rr.ResourceType, rr.ResourceName}] = rr
		}
		var out []kmsg.DescribeConfigsResponseResource
		for _, e := range entries {
			if e.local != nil {
				out = append(out, *e.local)
				continue
			}
			rr := answered[e.sent]
			if rr == nil {
				continue
			}
			nr := *rr
			nr.ResourceName = e.asked.name
			brokerTexts(nr.ErrorCode, &nr.ErrorMessage)
			configs := nr.Configs[:0:0]
			for _, c := range nr.Configs {
				if strings.Contains(c.Name, "throttled.replicas") {
					continue // lists broker ids of a reassignment
				}
				if c.IsSensitive {
					c.Value = nil
				}
				c.ConfigSynonyms = synonyms(c.ConfigSynonyms)
				configs = append(configs, c)
			}
			nr.Configs = configs
			out = append(out, nr)
		}
		resp.Resources = out
		return resp
	}
	if len(forward) == 0 {
		return answer(finish(kmsg.NewPtrDescribeConfigsResponse())), nil
	}
	req.Resources = forward
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		return finish(kr.(*kmsg.DescribeConfigsResponse)), nil
	}}, nil
}

// configSourceGroup is a value set for a group, which kmsg has no name for.
const configSourceGroup kmsg.ConfigSource = 8

// synonyms keeps a topic's and a group's own values: those of brokers are the
// operator's.
func synonyms(in []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym) []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym {
	out := in[:0]
	for _, s := range in {
		if s.Source == kmsg.ConfigSourceDynamicTopicConfig || s.Source == configSourceGroup || s.Source == kmsg.ConfigSourceDefaultConfig {
			out = append(out, s)
		}
	}
	return out
}
