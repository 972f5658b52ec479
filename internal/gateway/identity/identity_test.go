package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
)

// cluster answers what a Keeper asks, as test/identity has seen Kafka answer.
type cluster struct {
	mu       sync.Mutex // guards what follows
	users    map[string]map[int8]int
	acls     map[right]bool
	quotas   map[string]map[string]float64
	refuse   *kerr.Error // what everything gets
	open     bool        // there is no authorizer
	upserted []string
}

func newCluster() *cluster {
	return &cluster{users: map[string]map[int8]int{}, acls: map[right]bool{}, quotas: map[string]map[string]float64{}}
}

func (c *cluster) Request(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	code := int16(0)
	if c.refuse != nil {
		code = c.refuse.Code
	}
	switch r := req.(type) {
	case *kmsg.DescribeUserSCRAMCredentialsRequest:
		resp := &kmsg.DescribeUserSCRAMCredentialsResponse{ErrorCode: code}
		for user, all := range c.users {
			result := kmsg.DescribeUserSCRAMCredentialsResponseResult{User: user}
			for mechanism, iterations := range all {
				result.CredentialInfos = append(result.CredentialInfos, kmsg.DescribeUserSCRAMCredentialsResponseResultCredentialInfo{Mechanism: mechanism, Iterations: int32(iterations)})
			}
			resp.Results = append(resp.Results, result)
		}
		return resp, nil
	case *kmsg.DescribeACLsRequest:
		if c.open {
			code = kerr.SecurityDisabled.Code
		}
		resp := &kmsg.DescribeACLsResponse{ErrorCode: code}
		for a := range c.acls {
			resp.Resources = append(resp.Resources, kmsg.DescribeACLsResponseResource{ResourceType: a.kind, ResourceName: a.name, ResourcePatternType: a.pattern,
				ACLs: []kmsg.DescribeACLsResponseResourceACL{{Principal: "User:" + a.user, Host: "*", Operation: a.op, PermissionType: kmsg.ACLPermissionTypeAllow}}})
		}
		return resp, nil
	case *kmsg.DescribeClientQuotasRequest:
		resp := &kmsg.DescribeClientQuotasResponse{ErrorCode: code}
		for user, all := range c.quotas {
			e := kmsg.DescribeClientQuotasResponseEntry{Entity: []kmsg.DescribeClientQuotasResponseEntryEntity{{Type: "user", Name: &user}}}
			for key, v := range all {
				e.Values = append(e.Values, kmsg.DescribeClientQuotasResponseEntryValue{Key: key, Value: v})
			}
			resp.Entries = append(resp.Entries, e)
		}
		return resp, nil
	case *kmsg.CreateACLsRequest:
		resp := &kmsg.CreateACLsResponse{}
		for _, a := range r.Creations {
			c.acls[right{strings.TrimPrefix(a.Principal, "User:"), acl{a.ResourceType, a.ResourcePatternType, a.ResourceName, a.Operation}}] = true
			resp.Results = append(resp.Results, kmsg.CreateACLsResponseResult{ErrorCode: code})
		}
		return resp, nil
	case *kmsg.DeleteACLsRequest:
		resp := &kmsg.DeleteACLsResponse{}
		for _, f := range r.Filters {
			delete(c.acls, right{strings.TrimPrefix(*f.Principal, "User:"), acl{f.ResourceType, f.ResourcePatternType, *f.ResourceName, f.Operation}})
			resp.Results = append(resp.Results, kmsg.DeleteACLsResponseResult{ErrorCode: code})
		}
		return resp, nil
	case *kmsg.AlterClientQuotasRequest:
		resp := &kmsg.AlterClientQuotasResponse{}
		for _, e := range r.Entries {
			user := *e.Entity[0].Name
			for _, op := range e.Ops {
				if op.Remove {
					delete(c.quotas[user], op.Key)
					continue
				}
				if c.quotas[user] == nil {
					c.quotas[user] = map[string]float64{}
				}
				c.quotas[user][op.Key] = op.Value
			}
			if len(c.quotas[user]) == 0 {
				delete(c.quotas, user)
			}
			resp.Entries = append(resp.Entries, kmsg.AlterClientQuotasResponseEntry{ErrorCode: code})
		}
		return resp, nil
	case *kmsg.AlterUserSCRAMCredentialsRequest:
		resp := &kmsg.AlterUserSCRAMCredentialsResponse{}
		named := map[string]bool{}
		once := func(user string) int16 {
			if named[user] {
				return kerr.DuplicateResource.Code
			}
			named[user] = true
			return code
		}
		for _, u := range r.Upsertions {
			if c.users[u.Name] == nil {
				c.users[u.Name] = map[int8]int{}
			}
			c.users[u.Name][u.Mechanism] = int(u.Iterations)
			c.upserted = append(c.upserted, u.Name)
			resp.Results = append(resp.Results, kmsg.AlterUserSCRAMCredentialsResponseResult{User: u.Name, ErrorCode: once(u.Name)})
		}
		for _, d := range r.Deletions {
			result := kmsg.AlterUserSCRAMCredentialsResponseResult{User: d.Name, ErrorCode: once(d.Name)}
			if _, known := c.users[d.Name][d.Mechanism]; !known {
				result.ErrorCode = kerr.ResourceNotFound.Code
			}
			if delete(c.users[d.Name], d.Mechanism); len(c.users[d.Name]) == 0 {
				delete(c.users, d.Name)
			}
			resp.Results = append(resp.Results, result)
		}
		return resp, nil
	}
	return nil, fmt.Errorf("not known here: %T", req)
}

// change does something to the cluster behind the Keeper's back.
func (c *cluster) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// state is all that there is, in words.
func (c *cluster) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for user, all := range c.users {
		out = append(out, fmt.Sprintf("user %s %v", user, slices.Sorted(maps.Keys(all))))
	}
	for a := range c.acls {
		out = append(out, fmt.Sprintf("acl %s %s:%s %s", a.user, a.kind, a.name, a.op))
	}
	for user, q := range c.quotas {
		out = append(out, fmt.Sprintf("quota %s %v", user, q))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

const (
	prefix = "sluice-abcdefghijkl-"
	reader = prefix + "taaaaaaaaaaaa"
	writer = prefix + "tbbbbbbbbbbbb"
)

func settings(master string) *Settings {
	return &Settings{PerApplication: true, Mechanism: scram512, MasterKey: strings.Repeat(master, 32)}
}

func grantOf(application, letter string, topics ...*grant.Topic) *grant.Grant {
	for i, t := range topics {
		t.ID = grant.TopicID{15: byte(i + 1)}
	}
	return &grant.Grant{Application: application, Environment: "prod", Cluster: "main", Prefix: "t" + strings.Repeat(letter, 12) + ".", Topics: topics}
}

func topic(name string, edit func(*grant.Topic)) *grant.Topic {
	t := &grant.Topic{Exposed: name, Backing: "phys." + name, Phases: []grant.Phase{{State: grant.Open}}}
	edit(t)
	return t
}

func reads(t *grant.Topic)  { t.Read.Access = grant.Granted }
func writes(t *grant.Topic) { t.Write.Access = grant.Granted }

func snapshot(t *testing.T, grants ...*grant.Grant) *grant.Snapshot {
	t.Helper()
	var all []*grant.Credential
	for i, g := range grants {
		name := fmt.Sprintf("c%d", i)
		all = append(all, &grant.Credential{Name: name, Method: grant.Plain, Identity: name, Grant: g})
	}
	s, err := grant.New("prod", grant.Number{Generation: 1, N: 1}, all)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bubble is a Keeper that runs by a clock of its own.
type bubble struct {
	*testing.T
	*cluster
	keeper *Keeper
	behind atomic.Bool // the control plane is not reached
	log    bytes.Buffer
}

func within(t *testing.T, f func(*bubble)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, cluster: newCluster()}
		b.keeper = New(Config{Cluster: "main", Prefix: prefix, Fresh: func() bool { return !b.behind.Load() }, Now: time.Now, Log: slog.New(slog.NewTextHandler(&b.log, nil))})
		ready := make(chan struct{})
		close(ready)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); b.keeper.Run(ctx, b.cluster, ready) }()
		f(b)
		cancel()
		<-done
	})
}

// after lets time pass.
func (b *bubble) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bubble) want(what, want string) {
	b.Helper()
	if got := b.state(); got != strings.TrimSpace(want) {
		b.Errorf("%s: got\n%s\nwant\n%s", what, got, strings.TrimSpace(want))
	}
}

const readersState = `
acl sluice-abcdefghijkl-taaaaaaaaaaaa CLUSTER:kafka-cluster IDEMPOTENT_WRITE
acl sluice-abcdefghijkl-taaaaaaaaaaaa GROUP:taaaaaaaaaaaa. ALL
acl sluice-abcdefghijkl-taaaaaaaaaaaa TOPIC:phys.orders DESCRIBE
acl sluice-abcdefghijkl-taaaaaaaaaaaa TOPIC:phys.orders DESCRIBE_CONFIGS
acl sluice-abcdefghijkl-taaaaaaaaaaaa TOPIC:phys.orders READ
acl sluice-abcdefghijkl-taaaaaaaaaaaa TRANSACTIONAL_ID:taaaaaaaaaaaa. ALL
user sluice-abcdefghijkl-taaaaaaaaaaaa [2]`

func readerGrant() *grant.Grant { return grantOf("reader", "a", topic("orders", reads)) }

func TestNothingIsAskedUnlessItIsConfigured(t *testing.T) {
	within(t, func(b *bubble) {
		b.change(func() { b.users[reader] = map[int8]int{2: 8192} })
		before := b.state()
		b.keeper.Set(nil, snapshot(t, readerGrant()))
		b.after(time.Hour)
		b.want("state", before)
		if u, err := b.keeper.User(b.Context(), "reader"); u != nil || err != nil {
			t.Errorf("user: got %v, %v, want that of the gateway", u, err)
		}
	})
}

func TestUsersFollowGrants(t *testing.T) {
	within(t, func(b *bubble) {
		b.change(func() { // another installation's, and an operator's
			b.users["sluice-zzzzzzzzzzzz-taaaaaaaaaaaa"] = map[int8]int{1: 4096}
			b.users["admin"] = map[int8]int{1: 4096, 2: 4096}
			b.quotas["admin"] = map[string]float64{producerRate: 1}
		})
		others := b.state()
		w := grantOf("writer", "b", topic("orders", writes))
		w.Quota.WriteBytesPerSecond = 1000
		elsewhere := grantOf("elsewhere", "c", topic("orders", writes))
		elsewhere.Cluster = "other"
		b.keeper.Set(settings("k"), snapshot(t, readerGrant(), w, elsewhere))
		u, err := b.keeper.User(b.Context(), "reader")
		if err != nil || u == nil || u.Mechanism.Name() != scram512 {
			t.Fatalf("user: got %v, %v", u, err)
		}
		all := strings.Split(readersState, "\n")
		for _, line := range all {
			if line != "" && !strings.Contains(b.state(), line) {
				t.Errorf("%q is not there: %s", line, b.state())
			}
		}
		if got := b.quotas[writer]; !maps.Equal(got, map[string]float64{producerRate: 1000}) || b.quotas[reader] != nil {
			t.Errorf("quotas: got %v", b.quotas)
		}
		if strings.Contains(b.state(), "tcccccccccccc") {
			t.Error("an application of another cluster has a user here")
		}
		if s := b.keeper.Standing(); !s.On || s.Wanted != 2 || s.Ready != 2 || s.Failure != "" || s.Changes[ChangedUsers] != 2 {
			t.Errorf("standing: got %+v", s)
		}
		// A right and an application go, after a while in which others may not know yet.
		b.keeper.Set(settings("k"), snapshot(t, grantOf("reader", "a", topic("orders", func(t *grant.Topic) { t.Read.Access = grant.Withdrawn }))))
		b.after(time.Second)
		if !strings.Contains(b.state(), writer) {
			t.Error("the writer's user is removed at once")
		}
		b.after(3 * time.Second)
		b.want("after it settled", sorted(others, strings.Replace(readersState, "acl "+reader+" TOPIC:phys.orders READ\n", "", 1)))
		if _, err := b.keeper.User(b.Context(), "reader"); err != nil {
			t.Error(err)
		}
	})
}

func sorted(texts ...string) string {
	lines := strings.Split(strings.TrimSpace(strings.Join(texts, "\n")), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return l == "" })
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestDriftIsRepaired(t *testing.T) {
	stray := right{prefix + "tdddddddddddd", acl{kmsg.ACLResourceTypeTopic, kmsg.ACLResourcePatternTypeLiteral, "x", kmsg.ACLOperationRead}}
	for name, drift := range map[string]func(c *cluster){
		"an ACL was removed": func(c *cluster) {
			delete(c.acls, right{reader, acl{kmsg.ACLResourceTypeTopic, kmsg.ACLResourcePatternTypeLiteral, "phys.orders", kmsg.ACLOperationRead}})
		},
		"an ACL was added": func(c *cluster) {
			c.acls[right{reader, acl{kmsg.ACLResourceTypeTopic, kmsg.ACLResourcePatternTypeLiteral, "phys.secret", kmsg.ACLOperationRead}}] = true
		},
		"the user was removed":              func(c *cluster) { delete(c.users, reader) },
		"the user has another secret":       func(c *cluster) { c.users[reader][2] = 4096 },
		"the user has another mechanism":    func(c *cluster) { c.users[reader][1] = 4096 },
		"a quota was set":                   func(c *cluster) { c.quotas[reader] = map[string]float64{consumerRate: 1} },
		"a user of a forgotten application": func(c *cluster) { c.users[stray.user] = map[int8]int{1: 4096, 2: 4096}; c.acls[stray] = true },
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(b *bubble) {
				b.keeper.Set(settings("k"), snapshot(t, readerGrant()))
				b.after(time.Second)
				b.want("before", readersState)
				b.change(func() { drift(b.cluster) })
				b.after(time.Minute)
				b.want("a minute later", readersState)
				b.change(func() {
					if b.users[reader][2] < leastIterations {
						t.Errorf("iterations: %d", b.users[reader][2])
					}
				})
			})
		})
	}
}

func TestARefusedUserIsMadeAgain(t *testing.T) {
	within(t, func(b *bubble) {
		b.keeper.Set(settings("k"), snapshot(t, readerGrant()))
		u, err := b.keeper.User(b.Context(), "reader")
		if err != nil {
			t.Fatal(err)
		}
		u.Refused(errors.New("not known to that broker yet"))
		b.after(time.Second)
		if len(b.upserted) != 1 {
			t.Errorf("it is made again although it was a moment ago: %v", b.upserted)
		}
		b.after(5 * time.Second)
		u.Refused(errors.New("somebody set a password of the same iterations"))
		b.after(time.Millisecond)
		if len(b.upserted) != 2 {
			t.Errorf("it is not made again: %v", b.upserted)
		}
		b.after(4 * time.Second)
		b.change(func() { clear(b.acls); clear(b.users) })
		u.Refused(errors.New("somebody took it away, and its rights as well"))
		b.after(time.Millisecond)
		b.want("at once", readersState)
	})
}

func TestNothingChangesWhileOneMayBeBehind(t *testing.T) {
	within(t, func(b *bubble) {
		b.behind.Store(true)
		b.change(func() { b.users[writer] = map[int8]int{2: 9000} }) // which a newer gateway has made
		before := b.state()
		b.keeper.Set(settings("k"), snapshot(t, readerGrant()))
		b.after(time.Hour)
		b.want("behind", before)
		if u, err := b.keeper.User(b.Context(), "reader"); err != nil || u == nil {
			t.Errorf("a user that may be there is not tried: %v", err)
		}
		b.behind.Store(false)
		b.after(time.Minute)
		b.want("the newest again", readersState)
	})
}

func TestFailuresAreToldAndUsersThatAreThereServeOn(t *testing.T) {
	within(t, func(b *bubble) {
		b.change(func() { b.refuse = kerr.ClusterAuthorizationFailed })
		b.keeper.Set(settings("k"), snapshot(t, readerGrant()))
		if u, err := b.keeper.User(b.Context(), "reader"); err != nil || u == nil {
			t.Errorf("a user that may be there is not tried: %v", err)
		}
		b.after(10 * time.Minute)
		if s := b.keeper.Standing(); !strings.Contains(s.Failure, "needs Describe, Alter") {
			t.Errorf("failure: got %q", s.Failure)
		}
		if n := strings.Count(b.log.String(), "not as they should be"); n != 1 {
			t.Errorf("it is logged %d times, want once:\n%s", n, &b.log)
		}
		b.change(func() { b.refuse = nil })
		b.after(time.Minute)
		b.want("once it may", readersState)
		if s := b.keeper.Standing(); s.Failure != "" {
			t.Errorf("failure: got %q, want none", s.Failure)
		}
	})
}

func TestAClusterWithoutAuthorizerIsToldOf(t *testing.T) {
	within(t, func(b *bubble) {
		b.open = true
		b.keeper.Set(settings("k"), snapshot(t, readerGrant()))
		b.after(time.Minute)
		b.want("users all the same", "user "+reader+" [2]")
		if s := b.keeper.Standing(); !strings.Contains(s.Failure, "no authorizer") {
			t.Errorf("failure: got %q", s.Failure)
		}
	})
}

func TestGoingBackRemovesWhatWasMade(t *testing.T) {
	for name, off := range map[string]*Settings{"the setting is gone": nil, "the setting is off": {Mechanism: scram512}} {
		t.Run(name, func(t *testing.T) {
			within(t, func(b *bubble) {
				b.change(func() { b.users["admin"] = map[int8]int{1: 4096} })
				b.keeper.Set(settings("k"), snapshot(t, readerGrant()))
				b.after(time.Second)
				b.keeper.Set(off, snapshot(t, readerGrant()))
				if u, err := b.keeper.User(b.Context(), "reader"); u != nil || err != nil {
					t.Errorf("user: got %v, %v, want that of the gateway at once", u, err)
				}
				b.after(20 * time.Second)
				if !strings.Contains(b.state(), reader) {
					t.Error("removed while requests may be in flight")
				}
				b.after(time.Minute)
				b.want("later", "user admin [1]")
			})
		})
	}
	t.Run("the gateway did not run when it was", func(t *testing.T) {
		within(t, func(b *bubble) {
			b.change(func() { b.users[reader] = map[int8]int{1: 4096, 2: 9000} })
			b.keeper.Set(&Settings{Mechanism: scram512}, snapshot(t, readerGrant()))
			b.after(time.Minute)
			b.want("later", "")
		})
	})
	t.Run("a keeper whose cluster is another's now", func(t *testing.T) {
		within(t, func(b *bubble) {
			b.keeper.Set(settings("k"), snapshot(t, readerGrant()))
			b.after(time.Second)
			b.keeper.Freeze()
			b.change(func() { delete(b.users, reader) })
			b.after(time.Hour)
			if strings.Contains(b.state(), "user") {
				t.Error("it changes something")
			}
		})
	})
}

func TestAnotherMasterKeyReplacesSecrets(t *testing.T) {
	within(t, func(b *bubble) {
		b.keeper.Set(settings("k"), snapshot(t, readerGrant()))
		u, err := b.keeper.User(b.Context(), "reader")
		if err != nil {
			t.Fatal(err)
		}
		before := b.users[reader][2]
		b.keeper.Set(settings("l"), snapshot(t, readerGrant()))
		next, err := b.keeper.User(b.Context(), "reader")
		if err != nil || next == u || len(b.upserted) != 2 || b.users[reader][2] == before {
			t.Errorf("got the same user %v, made %v, iterations %d and %d, err %v", next == u, b.upserted, before, b.users[reader][2], err)
		}
	})
}

func TestTwoKeepersComeToTheSame(t *testing.T) {
	within(t, func(b *bubble) {
		second := New(Config{Cluster: "main", Prefix: prefix, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		ready := make(chan struct{})
		close(ready)
		ctx, cancel := context.WithCancel(b.Context())
		var done sync.WaitGroup
		done.Go(func() { second.Run(ctx, b.cluster, ready) })
		b.keeper.Set(settings("k"), snapshot(t, readerGrant()))
		second.Set(settings("k"), snapshot(t, readerGrant(), grantOf("writer", "b"))) // it has not heard of the end yet
		b.after(time.Second)
		second.Set(settings("k"), snapshot(t, readerGrant()))
		b.after(time.Minute)
		b.want("both", readersState)
		changes := func() int {
			n := 0
			for _, k := range []*Keeper{b.keeper, second} {
				for _, v := range k.Standing().Changes {
					n += v
				}
			}
			return n
		}
		settled := changes()
		b.after(10 * time.Minute)
		if got := changes(); got != settled {
			t.Errorf("they go on changing: %d, then %d", settled, got)
		}
		cancel()
		done.Wait()
	})
}

func TestAWaitThatEndsSaysWhy(t *testing.T) {
	within(t, func(b *bubble) {
		b.keeper.Set(settings("k"), snapshot(t, readerGrant()))
		b.after(time.Second)
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
		defer cancel()
		_, err := b.keeper.User(ctx, "nobody")
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"nobody" is not there yet`) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRights(t *testing.T) {
	now := time.Now()
	ended := func(t *grant.Topic) { reads(t); writes(t); t.Phases = []grant.Phase{{State: grant.Ended}} }
	for _, tc := range []struct {
		name string
		g    *grant.Grant
		want string // besides what every application has
	}{
		{"no topics", grantOf("x", "a"), ""},
		{"reads", grantOf("x", "a", topic("o", reads)), "TOPIC:phys.o DESCRIBE, TOPIC:phys.o DESCRIBE_CONFIGS, TOPIC:phys.o READ"},
		{"writes", grantOf("x", "a", topic("o", writes)), "TOPIC:phys.o DESCRIBE, TOPIC:phys.o DESCRIBE_CONFIGS, TOPIC:phys.o WRITE"},
		{"manages", grantOf("x", "a", topic("o", func(t *grant.Topic) { t.DeleteRecords, t.AlterConfigs = true, true })),
			"TOPIC:phys.o ALTER_CONFIGS, TOPIC:phys.o DELETE, TOPIC:phys.o DESCRIBE, TOPIC:phys.o DESCRIBE_CONFIGS"},
		{"suspended keeps what clients commit with", grantOf("x", "a", topic("o", func(t *grant.Topic) { reads(t); t.Phases[0].State = grant.Suspended })),
			"TOPIC:phys.o DESCRIBE, TOPIC:phys.o DESCRIBE_CONFIGS, TOPIC:phys.o READ"},
		{"ended", grantOf("x", "a", topic("o", ended)), "TOPIC:phys.o DESCRIBE, TOPIC:phys.o DESCRIBE_CONFIGS"},
		{"not begun", grantOf("x", "a", topic("o", func(t *grant.Topic) { reads(t); t.Phases[0].From = now.Add(time.Hour) })), ""},
		{"a namespace", func() *grant.Grant { g := grantOf("x", "a"); g.Namespace.Topics = 1; return g }(), "TOPIC:taaaaaaaaaaaa. ALL"},
		{"adopted names", func() *grant.Grant {
			g := grantOf("x", "a")
			g.Groups, g.TransactionalIDs = []string{"erp"}, []string{"txn"}
			return g
		}(), "GROUP:erp ALTER_CONFIGS, GROUP:erp DELETE, GROUP:erp DESCRIBE, GROUP:erp DESCRIBE_CONFIGS, GROUP:erp READ, TRANSACTIONAL_ID:txn DESCRIBE, TRANSACTIONAL_ID:txn WRITE"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := accounts(snapshot(t, tc.g), "main", prefix, now)[reader]
			for _, own := range []acl{
				{kmsg.ACLResourceTypeGroup, kmsg.ACLResourcePatternTypePrefixed, tc.g.Prefix, kmsg.ACLOperationAll},
				{kmsg.ACLResourceTypeTransactionalId, kmsg.ACLResourcePatternTypePrefixed, tc.g.Prefix, kmsg.ACLOperationAll},
				{kmsg.ACLResourceTypeCluster, kmsg.ACLResourcePatternTypeLiteral, "kafka-cluster", kmsg.ACLOperationIdempotentWrite},
			} {
				if !a.acls[own] {
					t.Errorf("%v is missing", own)
				}
				delete(a.acls, own)
			}
			var got []string
			for r := range a.acls {
				want := kmsg.ACLResourcePatternTypeLiteral
				if r.name == tc.g.Prefix {
					want = kmsg.ACLResourcePatternTypePrefixed
				}
				if r.pattern != want {
					t.Errorf("%v: pattern %s, want %s", r, r.pattern, want)
				}
				got = append(got, fmt.Sprintf("%s:%s %s", r.kind, r.name, r.op))
			}
			slices.Sort(got)
			if text := strings.Join(got, ", "); text != tc.want {
				t.Errorf("got %s, want %s", text, tc.want)
			}
		})
	}
}

func TestCredentialsOfOneApplicationAddUp(t *testing.T) {
	s := snapshot(t, grantOf("x", "a", topic("o", reads)), grantOf("x", "a", topic("p", writes)))
	a := accounts(s, "main", prefix, time.Now())
	if len(a) != 1 {
		t.Fatalf("got %d users, want one", len(a))
	}
	for name, op := range map[string]kmsg.ACLOperation{"phys.o": kmsg.ACLOperationRead, "phys.p": kmsg.ACLOperationWrite} {
		if !a[reader].acls[acl{kmsg.ACLResourceTypeTopic, kmsg.ACLResourcePatternTypeLiteral, name, op}] {
			t.Errorf("no %s on %s", op, name)
		}
	}
}

// TestLogin logs in at our own server; test/identity does at Kafka's.
func TestLogin(t *testing.T) {
	for _, mechanism := range []string{scram256, scram512} {
		t.Run(mechanism, func(t *testing.T) {
			s := newSecret([]byte(strings.Repeat("k", 32)), mechanism, reader)
			verifier, err := sasl.NewVerifier(mechanism, s.password, s.salt) // of other iterations, which the client takes up
			if err != nil {
				t.Fatal(err)
			}
			server, err := sasl.New(mechanism, sasl.Deps{PhantomSecret: make([]byte, 32), Lookup: func(_, user string) (sasl.Verifier, []sasl.Verifier, bool) {
				return verifier, nil, user == reader
			}})
			if err != nil {
				t.Fatal(err)
			}
			session, message, err := s.Authenticate(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			var last []byte
			for done := false; !done; {
				challenge, over, err := server.Next(message)
				if err != nil {
					t.Fatalf("the server: %v", err)
				}
				last = challenge
				if done, message, err = session.Challenge(challenge); err != nil || done != over {
					t.Fatalf("the client: %v, done %v, the server's %v", err, done, over)
				}
			}
			// A server that does not know the secret cannot prove that it does.
			session, _, _ = s.Authenticate(t.Context(), "")
			x := session.(*exchange)
			x.signature = "other"
			if _, _, err := session.Challenge(last); err == nil {
				t.Error("a broker that proves nothing is believed")
			}
			salted, err := s.saltedPassword()
			if err != nil {
				t.Fatal(err)
			}
			again, err := newSecret([]byte(strings.Repeat("k", 32)), mechanism, reader).saltedPassword()
			if err != nil || !bytes.Equal(salted, again) || s.iterations < 8192 || s.iterations > 16384 || len(s.password) != 43 {
				t.Errorf("not the same each time, or out of bounds: %d iterations, %d characters, %v", s.iterations, len(s.password), err)
			}
		})
	}
}

func FuzzServerFirst(f *testing.F) {
	f.Add("r=abc,s=c2FsdA==,i=8192")
	f.Add("r=,s=,i=-1,m=x")
	f.Fuzz(func(t *testing.T, text string) {
		nonce, _, iterations, err := parseServerFirst(text)
		if err == nil && (iterations < 1 || iterations > maxIterations || strings.Contains(nonce, ",")) {
			t.Errorf("%q: nonce %q, %d iterations", text, nonce, iterations)
		}
	})
}

func TestPrefix(t *testing.T) {
	a := Prefix([]byte("seed"), "prod", "main")
	if !strings.HasPrefix(a, "sluice-") || len(a) != len(prefix) {
		t.Errorf("got %q", a)
	}
	for _, other := range []string{Prefix([]byte("seed2"), "prod", "main"), Prefix([]byte("seed"), "qa", "main"), Prefix([]byte("seed"), "prod", "other")} {
		if other == a {
			t.Errorf("%q is that of two", a)
		}
	}
}
