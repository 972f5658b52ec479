package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// Admin asks a target cluster as the gateway's own user; *upstream.Cluster is one.
type Admin interface {
	Request(context.Context, kmsg.Request) (kmsg.Response, error)
}

// there is what a target cluster has of our users: those whose names begin with the
// prefix. Others are never looked at closer.
type there struct {
	users  map[string]map[int8]int // iterations by mechanism
	acls   map[string]map[acl]bool
	quotas map[string]map[string]float64
	// without says that the cluster has no authorizer, so that ACLs are of no use.
	without bool
}

// names returns all that something is known of.
func (t *there) names() []string {
	all := map[string]bool{}
	for name := range t.users {
		all[name] = true
	}
	for name := range t.acls {
		all[name] = true
	}
	for name := range t.quotas {
		all[name] = true
	}
	out := make([]string, 0, len(all))
	for name := range all {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// atOnce is how many changes one request carries.
const atOnce = 500

// principal is how ACLs write a user.
const principal = "User:"

// look asks what there is.
func look(ctx context.Context, admin Admin, prefix string) (*there, error) {
	t := &there{users: map[string]map[int8]int{}, acls: map[string]map[acl]bool{}, quotas: map[string]map[string]float64{}}
	resp, err := ask[*kmsg.DescribeUserSCRAMCredentialsResponse](ctx, admin, kmsg.NewPtrDescribeUserSCRAMCredentialsRequest())
	if err == nil {
		err = failure(resp.ErrorCode, resp.ErrorMessage)
	}
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	for _, r := range resp.Results {
		if !strings.HasPrefix(r.User, prefix) || r.ErrorCode != 0 {
			continue
		}
		t.users[r.User] = map[int8]int{}
		for _, c := range r.CredentialInfos {
			t.users[r.User][c.Mechanism] = int(c.Iterations)
		}
	}
	if err := t.lookACLs(ctx, admin, prefix); err != nil {
		return nil, fmt.Errorf("list ACLs: %w", err)
	}
	if err := t.lookQuotas(ctx, admin, prefix); err != nil {
		return nil, fmt.Errorf("list quotas: %w", err)
	}
	return t, nil
}

func (t *there) lookACLs(ctx context.Context, admin Admin, prefix string) error {
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAllow
	resp, err := ask[*kmsg.DescribeACLsResponse](ctx, admin, req)
	if err != nil {
		return err
	}
	if resp.ErrorCode == kerr.SecurityDisabled.Code {
		t.without = true
		return nil
	}
	if err := failure(resp.ErrorCode, resp.ErrorMessage); err != nil {
		return err
	}
	for _, r := range resp.Resources {
		for _, a := range r.ACLs {
			user, ok := strings.CutPrefix(a.Principal, principal)
			if !ok || !strings.HasPrefix(user, prefix) || a.Host != "*" || a.PermissionType != kmsg.ACLPermissionTypeAllow {
				continue
			}
			if t.acls[user] == nil {
				t.acls[user] = map[acl]bool{}
			}
			t.acls[user][acl{r.ResourceType, r.ResourcePatternType, r.ResourceName, a.Operation}] = true
		}
	}
	return nil
}

const entityUser = "user"

// The quotas that we set, as brokers call them.
const (
	producerRate = "producer_byte_rate"
	consumerRate = "consumer_byte_rate"
)

func (t *there) lookQuotas(ctx context.Context, admin Admin, prefix string) error {
	req := kmsg.NewPtrDescribeClientQuotasRequest()
	req.Strict = true // not those of a user together with a client id
	component := kmsg.NewDescribeClientQuotasRequestComponent()
	component.EntityType, component.MatchType = entityUser, kmsg.QuotasMatchTypeAny
	req.Components = append(req.Components, component)
	resp, err := ask[*kmsg.DescribeClientQuotasResponse](ctx, admin, req)
	if err != nil {
		return err
	}
	if err := failure(resp.ErrorCode, resp.ErrorMessage); err != nil {
		return err
	}
	for _, e := range resp.Entries {
		if len(e.Entity) != 1 || e.Entity[0].Name == nil || !strings.HasPrefix(*e.Entity[0].Name, prefix) {
			continue
		}
		values := map[string]float64{}
		for _, v := range e.Values {
			if v.Key == producerRate || v.Key == consumerRate {
				values[v.Key] = v.Value
			}
		}
		if len(values) > 0 {
			t.quotas[*e.Entity[0].Name] = values
		}
	}
	return nil
}

// rates is a quota as brokers know it. Each broker holds a user to all of it, so that
// what a plan allows is possible wherever the partitions are.
func rates(q grant.Quota) map[string]float64 {
	out := map[string]float64{}
	if q.ReadBytesPerSecond > 0 {
		out[consumerRate] = float64(q.ReadBytesPerSecond)
	}
	if q.WriteBytesPerSecond > 0 {
		out[producerRate] = float64(q.WriteBytesPerSecond)
	}
	return out
}

// right is an acl of a user.
type right struct {
	user string
	acl
}

func createACLs(ctx context.Context, admin Admin, rights []right) error {
	for part := range slices.Chunk(rights, atOnce) {
		req := kmsg.NewPtrCreateACLsRequest()
		for _, r := range part {
			c := kmsg.NewCreateACLsRequestCreation()
			c.ResourceType, c.ResourceName, c.ResourcePatternType = r.kind, r.name, r.pattern
			c.Principal, c.Host, c.Operation, c.PermissionType = principal+r.user, "*", r.op, kmsg.ACLPermissionTypeAllow
			req.Creations = append(req.Creations, c)
		}
		resp, err := ask[*kmsg.CreateACLsResponse](ctx, admin, req)
		if err != nil {
			return err
		}
		for i, r := range resp.Results {
			if err := failure(r.ErrorCode, r.ErrorMessage); err != nil {
				return fmt.Errorf("%s: %w", part[min(i, len(part)-1)].user, err)
			}
		}
	}
	return nil
}

func deleteACLs(ctx context.Context, admin Admin, rights []right) error {
	for part := range slices.Chunk(rights, atOnce) {
		req := kmsg.NewPtrDeleteACLsRequest()
		for _, r := range part {
			f := kmsg.NewDeleteACLsRequestFilter()
			who, host := principal+r.user, "*"
			f.ResourceType, f.ResourceName, f.ResourcePatternType = r.kind, &r.name, r.pattern
			f.Principal, f.Host, f.Operation, f.PermissionType = &who, &host, r.op, kmsg.ACLPermissionTypeAllow
			req.Filters = append(req.Filters, f)
		}
		resp, err := ask[*kmsg.DeleteACLsResponse](ctx, admin, req)
		if err != nil {
			return err
		}
		for i, r := range resp.Results {
			if err := failure(r.ErrorCode, r.ErrorMessage); err != nil {
				return fmt.Errorf("%s: %w", part[min(i, len(part)-1)].user, err)
			}
		}
	}
	return nil
}

// alterQuotas makes quotas, by user, what they are to be.
func alterQuotas(ctx context.Context, admin Admin, users []string, want func(user string) map[string]float64) error {
	for part := range slices.Chunk(users, atOnce) {
		req := kmsg.NewPtrAlterClientQuotasRequest()
		for _, user := range part {
			entry := kmsg.NewAlterClientQuotasRequestEntry()
			entity := kmsg.NewAlterClientQuotasRequestEntryEntity()
			entity.Type, entity.Name = entityUser, &user
			entry.Entity = append(entry.Entity, entity)
			rates := want(user)
			for _, key := range []string{producerRate, consumerRate} {
				op := kmsg.NewAlterClientQuotasRequestEntryOp()
				rate, set := rates[key]
				op.Key, op.Value, op.Remove = key, rate, !set
				entry.Ops = append(entry.Ops, op)
			}
			req.Entries = append(req.Entries, entry)
		}
		resp, err := ask[*kmsg.AlterClientQuotasResponse](ctx, admin, req)
		if err != nil {
			return err
		}
		for _, e := range resp.Entries {
			if err := failure(e.ErrorCode, e.ErrorMessage); err != nil {
				return err
			}
		}
	}
	return nil
}

// alterUsers sets secrets and takes others away. A request may name a user once.
func alterUsers(ctx context.Context, admin Admin, set []*secret, remove []kmsg.AlterUserSCRAMCredentialsRequestDeletion) error {
	var reqs []*kmsg.AlterUserSCRAMCredentialsRequest
	for part := range slices.Chunk(set, atOnce) {
		req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
		for _, s := range part {
			u := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
			u.Name, u.Mechanism, u.Iterations, u.Salt = s.user, s.number(), int32(s.iterations), s.salt
			var err error
			if u.SaltedPassword, err = s.saltedPassword(); err != nil {
				return err
			}
			req.Upsertions = append(req.Upsertions, u)
		}
		reqs = append(reqs, req)
	}
	for part := range slices.Chunk(remove, atOnce) {
		req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
		req.Deletions = part
		reqs = append(reqs, req)
	}
	for _, req := range reqs {
		resp, err := ask[*kmsg.AlterUserSCRAMCredentialsResponse](ctx, admin, req)
		if err != nil {
			return err
		}
		for _, r := range resp.Results {
			if r.ErrorCode == kerr.ResourceNotFound.Code && len(req.Deletions) > 0 { // another gateway was first
				continue
			}
			if err := failure(r.ErrorCode, r.ErrorMessage); err != nil {
				return fmt.Errorf("%s: %w", r.User, err)
			}
		}
	}
	return nil
}

// ask sends a request and returns an answer of its kind.
func ask[T kmsg.Response](ctx context.Context, admin Admin, req kmsg.Request) (none T, _ error) {
	answer, err := admin.Request(ctx, req)
	if err != nil {
		return none, err
	}
	resp, ok := answer.(T)
	if !ok {
		return none, fmt.Errorf("bug: %T answers %T", answer, req)
	}
	return resp, nil
}

// failure is what an error code says, with what helps.
func failure(code int16, message *string) error {
	if code == 0 {
		return nil
	}
	err := kerr.ErrorForCode(code)
	if errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return fmt.Errorf("the gateway's own user needs Describe, Alter, DescribeConfigs and AlterConfigs on the cluster: %w", err)
	}
	if message != nil && *message != "" {
		return fmt.Errorf("%w (%.300s)", err, *message)
	}
	return err
}
