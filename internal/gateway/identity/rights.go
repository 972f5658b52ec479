package identity

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// acl is one right of a user: what is allowed from any host.
type acl struct {
	kind    kmsg.ACLResourceType
	pattern kmsg.ACLResourcePatternType
	name    string
	op      kmsg.ACLOperation
}

// account is what an application is to have at a target cluster.
type account struct {
	application string
	acls        map[acl]bool
	quota       grant.Quota
}

// clusterName is what Kafka calls the one resource of kind Cluster.
const clusterName = "kafka-cluster"

// accounts returns who is to be there at a moment, by user name: the applications with
// grants on the cluster, each with what any of its credentials may do.
func accounts(s *grant.Snapshot, cluster, prefix string, now time.Time) map[string]*account {
	out := map[string]*account{}
	for g := range s.Grants() {
		if g.Cluster != cluster {
			continue
		}
		name := userOf(prefix, g)
		a := out[name]
		if a == nil {
			a = &account{application: g.Application, acls: map[acl]bool{}, quota: g.Quota}
			out[name] = a
		}
		a.add(g, now)
	}
	return out
}

// userOf names an application's user: opaque, like all that is an application's own.
func userOf(prefix string, g *grant.Grant) string { return prefix + strings.TrimSuffix(g.Prefix, ".") }

// add allows what a grant does. A topic that is paused, by a suspension or a brown-out,
// keeps its rights, since clients go on committing; what has ended keeps the bookkeeping.
func (a *account) add(g *grant.Grant, now time.Time) {
	allow := func(kind kmsg.ACLResourceType, pattern kmsg.ACLResourcePatternType, name string, ops ...kmsg.ACLOperation) {
		for _, op := range ops {
			a.acls[acl{kind, pattern, name, op}] = true
		}
	}
	const literal, prefixed = kmsg.ACLResourcePatternTypeLiteral, kmsg.ACLResourcePatternTypePrefixed
	for _, t := range g.Topics {
		state := t.At(now).State
		if state == grant.Refused {
			continue
		}
		topic := func(when bool, op kmsg.ACLOperation) {
			if when {
				allow(kmsg.ACLResourceTypeTopic, literal, t.Backing, op)
			}
		}
		here := state != grant.Ended
		topic(true, kmsg.ACLOperationDescribe)
		topic(true, kmsg.ACLOperationDescribeConfigs)
		topic(here && t.Read.Access == grant.Granted, kmsg.ACLOperationRead)
		topic(here && t.Write.Access == grant.Granted, kmsg.ACLOperationWrite)
		topic(here && t.DeleteRecords, kmsg.ACLOperationDelete)
		topic(here && t.AlterConfigs, kmsg.ACLOperationAlterConfigs)
	}
	if g.HasNamespace() {
		allow(kmsg.ACLResourceTypeTopic, prefixed, g.Prefix, kmsg.ACLOperationAll)
	}
	allow(kmsg.ACLResourceTypeGroup, prefixed, g.Prefix, kmsg.ACLOperationAll)
	allow(kmsg.ACLResourceTypeTransactionalId, prefixed, g.Prefix, kmsg.ACLOperationAll)
	for _, name := range g.Groups {
		allow(kmsg.ACLResourceTypeGroup, literal, name, kmsg.ACLOperationRead, kmsg.ACLOperationDescribe, kmsg.ACLOperationDelete,
			kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationAlterConfigs)
	}
	for _, name := range g.TransactionalIDs {
		allow(kmsg.ACLResourceTypeTransactionalId, literal, name, kmsg.ACLOperationWrite, kmsg.ACLOperationDescribe)
	}
	// Brokers ask for it of idempotent producers that may write nowhere yet.
	allow(kmsg.ACLResourceTypeCluster, literal, clusterName, kmsg.ACLOperationIdempotentWrite)
}
