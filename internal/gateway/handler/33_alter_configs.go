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

// verdict is what becomes of one resource of a request: its target is altered,
// or the code is the answer.
type verdict struct {
	target  target
	code    int16
	message *string
}

// alteredResource is a resource in the answers of both.
type alteredResource = struct {
	ErrorCode    int16
	ErrorMessage *string
	ResourceType kmsg.ConfigResourceType
	ResourceName string
	UnknownTags  kmsg.Tags
}

// altered merges the resources answered here with those of the broker's answer.
type altered[R ~alteredResource] struct{ merger[R] }

// resource takes the verdict on a resource and returns whether it goes upstream.
func (a *altered[R]) resource(v *verdict, kind kmsg.ConfigResourceType) bool {
	if v.code != 0 {
		a.answer(v.target, R(alteredResource{ErrorCode: v.code, ErrorMessage: v.message, ResourceType: kind, ResourceName: v.target.exposed}))
		return false
	}
	a.entries = append(a.entries, mergeEntry[R]{target: v.target, key: resourceKey(kind, v.target.backing)})
	a.any = true
	return true
}

// serve sends the request, where a resource of it goes upstream.
func (a *altered[R]) serve(x *Exchange, req kmsg.Request, list func(kmsg.Response) *[]R) Action {
	version := req.GetVersion()
	finish := func(resp kmsg.Response) (kmsg.Response, error) {
		resp.SetVersion(version)
		resources := list(resp)
		*resources = a.merge(x, *resources,
			func(r *R) topicKey {
				resource := alteredResource(*r)
				return resourceKey(resource.ResourceType, resource.ResourceName)
			},
			func(r *R, to *target) {
				resource := alteredResource(*r)
				resource.ResourceName = to.exposed
				brokerTexts(resource.ErrorCode, &resource.ErrorMessage)
				*r = R(resource)
			})
		return resp, nil
	}
	if !a.any {
		resp, _ := finish(req.ResponseKind())
		return answer(resp)
	}
	return Action{Upstream: req, Response: finish}
}

func incrementalAlterConfigs(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.IncrementalAlterConfigsRequest)
	verdicts := make([]verdict, len(req.Resources))
	var questioned []string // backing names of topics where it matters what is set
	for i, rr := range req.Resources {
		v := &verdicts[i]
		*v = x.alterable(rr.ResourceType, rr.ResourceName)
		if v.code == 0 && rr.ResourceType == kmsg.ConfigResourceTypeTopic && slices.ContainsFunc(rr.Configs, deletesForeign) {
			questioned = append(questioned, v.target.backing)
		}
	}
	set, err := x.Conn.Cluster.TopicConfigs(x.Context, questioned)
	if err != nil {
		return Action{}, err
	}
	var a altered[kmsg.IncrementalAlterConfigsResponseResource]
	var forward []kmsg.IncrementalAlterConfigsRequestResource
	for i, rr := range req.Resources {
		v := &verdicts[i]
		if v.code == 0 {
			if there, ok := set[v.target.backing]; ok && rr.ResourceType == kmsg.ConfigResourceTypeTopic {
				rr.Configs = slices.DeleteFunc(rr.Configs, func(c kmsg.IncrementalAlterConfigsRequestResourceConfig) bool {
					_, isSet := there[c.Name]
					return deletesForeign(c) && !isSet
				})
			}
			settings := make([]setting, 0, len(rr.Configs))
			for _, c := range rr.Configs {
				settings = append(settings, setting{c.Name, c.Op, c.Value})
			}
			v.code, v.message = forbiddenSetting(rr.ResourceType, settings)
		}
		if a.resource(v, rr.ResourceType) {
			rr.ResourceName = v.target.backing
			forward = append(forward, rr)
		}
	}
	req.Resources = forward
	return a.serve(x, req, func(r kmsg.Response) *[]kmsg.IncrementalAlterConfigsResponseResource {
		return &r.(*kmsg.IncrementalAlterConfigsResponse).Resources
	}), nil
}

// deletesForeign reports whether a configuration is to be deleted that an
// application may not set on a topic.
func deletesForeign(c kmsg.IncrementalAlterConfigsRequestResourceConfig) bool {
	_, ours := topicConfigs[c.Name]
	return c.Op == kmsg.IncrementalAlterConfigOpDelete && !ours
}

func alterConfigs(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.AlterConfigsRequest)
	verdicts := make([]verdict, len(req.Resources))
	var backing []string
	for i, rr := range req.Resources {
		v := &verdicts[i]
		if rr.ResourceType == kmsg.ConfigResourceTypeGroupConfig {
			s := "configurations of groups are altered by IncrementalAlterConfigs only"
			*v = verdict{target{exposed: rr.ResourceName}, kerr.InvalidRequest.Code, &s}
			continue
		}
		if *v = x.alterable(rr.ResourceType, rr.ResourceName); v.code == 0 {
			backing = append(backing, v.target.backing)
		}
	}
	set, err := x.Conn.Cluster.TopicConfigs(x.Context, backing)
	if err != nil {
		return Action{}, err
	}
	var a altered[kmsg.AlterConfigsResponseResource]
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
		if a.resource(v, rr.ResourceType) {
			rr.ResourceName = v.target.backing
			forward = append(forward, rr)
		}
	}
	req.Resources = forward
	return a.serve(x, req, func(r kmsg.Response) *[]kmsg.AlterConfigsResponseResource {
		return &r.(*kmsg.AlterConfigsResponse).Resources
	}), nil
}

// resourceKey names a resource in an answer: a topic and a group may have one
// name.
func resourceKey(kind kmsg.ConfigResourceType, physical string) topicKey {
	return topicKey{name: fmt.Sprintf("%d %s", kind, physical)}
}

// alterable resolves a resource whose configurations are to be altered. A
// group's name on the target cluster is the target's backing name.
func (x *Exchange) alterable(kind kmsg.ConfigResourceType, name string) verdict {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		t := x.named(name, grant.AlterConfigs)
		if !t.allowed() {
			return verdict{t, administrationCode(t.decision), text(t.decision, x.reject(&t, grant.AlterConfigs))}
		}
		return verdict{target: t}
	case kmsg.ConfigResourceTypeGroupConfig:
		if name == "" { // all groups, there were it not for the prefix
			s := "default group resources are not allowed"
			return verdict{target{}, kerr.InvalidRequest.Code, &s}
		}
		return verdict{target: target{exposed: name, backing: x.Grant.Group(name)}}
	}
	d := grant.Decision{Verdict: grant.RefuseRight, Rule: "brokers are not part of a virtual cluster"}
	return verdict{target{exposed: name}, kerr.ClusterAuthorizationFailed.Code, text(grant.Decision{}, x.rejectNamed("resource", name, "alter configs", d))}
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
