package handler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// AlterConfigs 0 to 2, IncrementalAlterConfigs 0 and 1 (KIP-339): of the
// application's own topics, of those whose plan says so, and of its groups
// (incrementally only), from lists of configurations with bounds. Brokers, their
// loggers and client metrics are refused one by one.
//
// AlterConfigs replaces all that is set. What an application may not set stays
// as it is: it is looked up and sent along. IncrementalAlterConfigs may delete
// such a configuration where nothing is set: MirrorMaker 2 deletes whatever its
// source does not set. It is left out of the request then, which changes nothing.

// setting is one configuration that a client wants to change.
type setting struct {
	name  string
	op    kmsg.IncrementalAlterConfigOp
	value *string
}

func incrementalAlterConfigs(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.IncrementalAlterConfigsRequest)
	var m merger[kmsg.IncrementalAlterConfigsResponseResource]
	var forward []kmsg.IncrementalAlterConfigsRequestResource
	type verdict struct {
		target  target
		code    int16
		message *string
	}
	verdicts := make([]verdict, len(req.Resources))
	var questioned []string // backing names of topics where it matters what is set
	for i, rr := range req.Resources {
		v := &verdicts[i]
		v.target, v.code, v.message = x.alterable(rr.ResourceType, rr.ResourceName)
		if v.code == 0 && rr.ResourceType == kmsg.ConfigResourceTypeTopic && slices.ContainsFunc(rr.Configs, deletesForeign) {
			questioned = append(questioned, v.target.backing)
		}
	}
	var set map[string]map[string]string
	if len(questioned) > 0 {
		var err error
		if set, err = x.Conn.Cluster.TopicConfigs(x.Context, questioned); err != nil {
			return Action{}, err
		}
	}
	for i, rr := range req.Resources {
		t, code, message := verdicts[i].target, verdicts[i].code, verdicts[i].message
		if code == 0 {
			if there, ok := set[t.backing]; ok && rr.ResourceType == kmsg.ConfigResourceTypeTopic {
				rr.Configs = slices.DeleteFunc(rr.Configs, func(c kmsg.IncrementalAlterConfigsRequestResourceConfig) bool {
					_, isSet := there[c.Name]
					return deletesForeign(c) && !isSet
				})
			}
			settings := make([]setting, 0, len(rr.Configs))
			for _, c := range rr.Configs {
				settings = append(settings, setting{c.Name, c.Op, c.Value})
			}
			code, message = forbiddenSetting(rr.ResourceType, settings)
		}
		if code != 0 {
			out := kmsg.NewIncrementalAlterConfigsResponseResource()
			out.ErrorCode, out.ErrorMessage, out.ResourceType, out.ResourceName = code, message, rr.ResourceType, rr.ResourceName
			m.answer(t, out)
			continue
		}
		rr.ResourceName = t.backing
		m.forwardResource(t, rr.ResourceType)
		forward = append(forward, rr)
	}
	finish := func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.IncrementalAlterConfigsResponse)
		resp.Version = req.Version
		resp.Resources = m.merge(x, resp.Resources,
			func(r *kmsg.IncrementalAlterConfigsResponseResource) topicKey {
				return resourceKey(r.ResourceType, r.ResourceName)
			},
			func(r *kmsg.IncrementalAlterConfigsResponseResource, to *target) {
				r.ResourceName = to.exposed
				brokerTexts(r.ErrorCode, &r.ErrorMessage)
			})
		return resp, nil
	}
	if !m.any {
		resp, _ := finish(req.ResponseKind())
		return answer(resp), nil
	}
	req.Resources = forward
	return Action{Upstream: req, Response: finish}, nil
}

// deletesForeign reports whether a configuration is to be deleted that an
// application may not set on a topic.
func deletesForeign(c kmsg.IncrementalAlterConfigsRequestResourceConfig) bool {
	_, ours := topicConfigs[c.Name]
	return c.Op == kmsg.IncrementalAlterConfigOpDelete && !ours
}

func alterConfigs(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.AlterConfigsRequest)
	type verdict struct {
		target  target
		code    int16
		message *string
	}
	verdicts := make([]verdict, len(req.Resources))
	var backing []string
	for i, rr := range req.Resources {
		v := &verdicts[i]
		if rr.ResourceType == kmsg.ConfigResourceTypeGroupConfig {
			s := "configurations of groups are altered by IncrementalAlterConfigs only"
			v.target, v.code, v.message = target{exposed: rr.ResourceName}, kerr.InvalidRequest.Code, &s
			continue
		}
		if v.target, v.code, v.message = x.alterable(rr.ResourceType, rr.ResourceName); v.code == 0 {
			backing = append(backing, v.target.backing)
		}
	}
	var set map[string]map[string]string
	if len(backing) > 0 {
		var err error
		if set, err = x.Conn.Cluster.TopicConfigs(x.Context, backing); err != nil {
			return Action{}, err
		}
	}
	var m merger[kmsg.AlterConfigsResponseResource]
	var forward []kmsg.AlterConfigsRequestResource
	for i, rr := range req.Resources {
		v := &verdicts[i]
		if v.code == 0 {
			kept := map[string]string{}
			for name, value := range set[v.target.backing] {
				if _, ours := topicConfigs[name]; !ours {
					kept[name] = value
				}
			}
			var settings []setting
			var configs []kmsg.AlterConfigsRequestResourceConfig
			for _, c := range rr.Configs {
				if value, ok := kept[c.Name]; ok && c.Value != nil && *c.Value == value {
					continue // it stays, as the client says
				}
				settings = append(settings, setting{c.Name, kmsg.IncrementalAlterConfigOpSet, c.Value})
				configs = append(configs, c)
			}
			v.code, v.message = forbiddenSetting(rr.ResourceType, settings)
			for _, name := range slices.Sorted(maps.Keys(kept)) {
				c, value := kmsg.NewAlterConfigsRequestResourceConfig(), kept[name]
				c.Name, c.Value = name, &value
				configs = append(configs, c)
			}
			rr.Configs = configs
		}
		if v.code != 0 {
			out := kmsg.NewAlterConfigsResponseResource()
			out.ErrorCode, out.ErrorMessage, out.ResourceType, out.ResourceName = v.code, v.message, rr.ResourceType, rr.ResourceName
			m.answer(v.target, out)
			continue
		}
		rr.ResourceName = v.target.backing
		m.forwardResource(v.target, rr.ResourceType)
		forward = append(forward, rr)
	}
	finish := func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.AlterConfigsResponse)
		resp.Version = req.Version
		resp.Resources = m.merge(x, resp.Resources,
			func(r *kmsg.AlterConfigsResponseResource) topicKey {
				return resourceKey(r.ResourceType, r.ResourceName)
			},
			func(r *kmsg.AlterConfigsResponseResource, to *target) {
				r.ResourceName = to.exposed
				brokerTexts(r.ErrorCode, &r.ErrorMessage)
			})
		return resp, nil
	}
	if !m.any {
		resp, _ := finish(req.ResponseKind())
		return answer(resp), nil
	}
	req.Resources = forward
	return Action{Upstream: req, Response: finish}, nil
}

// resourceKey names a resource in an answer: a topic and a group may have one
// name.
func resourceKey(kind kmsg.ConfigResourceType, physical string) topicKey {
	return topicKey{name: fmt.Sprintf("%d %s", kind, physical)}
}

func (m *merger[R]) forwardResource(t target, kind kmsg.ConfigResourceType) {
	m.entries = append(m.entries, mergeEntry[R]{target: t, key: resourceKey(kind, t.backing)})
	m.any = true
}

// alterable resolves a resource whose configurations are to be altered; the
// error is the answer for one that may not be. A group's name on the target
// cluster is the target's backing name.
func (x *Exchange) alterable(kind kmsg.ConfigResourceType, name string) (t target, code int16, message *string) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		if t = x.named(name, grant.AlterConfigs); !t.allowed() {
			return t, administrationCode(t.decision), text(t.decision, x.reject(&t, grant.AlterConfigs))
		}
		return t, 0, nil
	case kmsg.ConfigResourceTypeGroupConfig:
		if name == "" { // all groups, there were it not for the prefix
			s := "default group resources are not allowed"
			return target{}, kerr.InvalidRequest.Code, &s
		}
		return target{exposed: name, backing: x.Grant.Group(name)}, 0, nil
	}
	t.exposed = name
	t.decision = grant.Decision{Verdict: grant.RefuseRight, Rule: "brokers are not part of a virtual cluster"}
	return t, kerr.ClusterAuthorizationFailed.Code, text(grant.Decision{}, x.rejectNamed("resource", name, "alter configs", t.decision))
}

// groupConfigs are the configurations that an application may set on its
// groups. Their bounds are the broker's (group.*.min.*, group.*.max.*).
var groupConfigs = map[string]bool{
	"consumer.heartbeat.interval.ms": true,
	"consumer.session.timeout.ms":    true,
	"share.auto.offset.reset":        true,
	"share.delivery.count.limit":     true,
	"share.heartbeat.interval.ms":    true,
	"share.isolation.level":          true,
	"share.record.lock.duration.ms":  true,
	"share.renew.acknowledge.enable": true,
	"share.session.timeout.ms":       true,
	"streams.heartbeat.interval.ms":  true,
	"streams.num.standby.replicas":   true,
	"streams.session.timeout.ms":     true,
}

// forbiddenSetting returns the error of the first change that an application
// may not make to a topic or a group.
func forbiddenSetting(kind kmsg.ConfigResourceType, settings []setting) (int16, *string) {
	for _, c := range settings {
		rule, known := topicConfigs[c.name]
		if kind == kmsg.ConfigResourceTypeGroupConfig {
			known = groupConfigs[c.name]
		}
		code, s := kerr.PolicyViolation.Code, ""
		switch {
		case !known:
			s = fmt.Sprintf("configuration %q cannot be set by an application", c.name)
		case c.op == kmsg.IncrementalAlterConfigOpDelete:
		case c.value == nil:
			code, s = kerr.InvalidRequest.Code, fmt.Sprintf("configuration %q has no value", c.name)
		case c.op != kmsg.IncrementalAlterConfigOpSet && (kind != kmsg.ConfigResourceTypeTopic || !rule.list):
			code, s = kerr.InvalidConfig.Code, fmt.Sprintf("configuration %q is no list: set or delete it", c.name)
		case kind == kmsg.ConfigResourceTypeTopic && !rule.allows(strings.TrimSpace(*c.value)): // Kafka trims as well
			s = fmt.Sprintf("configuration %q must be %s", c.name, rule)
		}
		if s != "" {
			return code, &s
		}
	}
	return 0, nil
}
