package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Finding is one thing that Diagnose looked at. A Finding that is OK and has a
// Fix is advice.
type Finding struct {
	Step    string // resolve, connect, tls, versions, login, metadata, brokers, topics, rights
	OK      bool
	Message string
	Fix     string // what to do about it; empty if nothing
}

// expiresSoon is when a certificate that is still valid becomes a finding.
const expiresSoon = 14 * 24 * time.Hour

// doctorProbe names the group and the transactional id whose rights are asked
// for. Neither comes into being by asking.
const doctorProbe = "sluice-doctor"

// Diagnose tries everything that a target cluster must let the gateway do, and
// tells in words what works and what does not: each bootstrap address by
// itself, then the cluster, its brokers, and what the principal may do in
// general and with the given backing topics. It changes nothing on the
// cluster. Each step has the timeouts of cfg.
func Diagnose(ctx context.Context, cfg Config, topics ...string) []Finding {
	cfg = cfg.withDefaults()
	dr := &doctor{d: newDialer(cfg), cluster: NewCluster(cfg)}
	if len(cfg.Bootstrap) == 0 {
		dr.bad(StepResolve, "add an address to bootstrap", "no bootstrap address is configured")
		return dr.findings
	}
	var conn *Conn
	for _, addr := range cfg.Bootstrap {
		switch c := dr.address(ctx, addr); {
		case c == nil:
		case conn == nil:
			conn = c
			defer c.Close()
		default:
			c.Close()
		}
	}
	if conn != nil {
		dr.examine(ctx, conn, topics)
	}
	return dr.findings
}

type doctor struct {
	d        *dialer
	cluster  *Cluster
	findings []Finding
}

func (dr *doctor) good(step Step, format string, args ...any) {
	dr.findings = append(dr.findings, Finding{Step: string(step), OK: true, Message: fmt.Sprintf(format, args...)})
}

func (dr *doctor) advise(step Step, fix, format string, args ...any) {
	dr.findings = append(dr.findings, Finding{string(step), true, fmt.Sprintf(format, args...), fix})
}

func (dr *doctor) bad(step Step, fix, format string, args ...any) {
	dr.findings = append(dr.findings, Finding{string(step), false, fmt.Sprintf(format, args...), fix})
}

// address looks at one bootstrap address and returns a connection to it, or nil.
func (dr *doctor) address(ctx context.Context, addr string) *Conn {
	ctx, cancel := context.WithTimeout(ctx, dr.d.cfg.DialTimeout)
	defer cancel()
	conn, err := dr.d.open(ctx, addr, dr.d.cfg.ClientID, true)
	var failed *DialError
	if errors.As(err, &failed) {
		dr.bad(failed.Step, remedy(failed), "%v", failed)
		return nil
	}
	dr.good(StepConnect, "%s is reached at %s", addr, conn.RemoteAddr())
	if secure, ok := conn.sock.Conn.(*tls.Conn); ok {
		dr.certificate(addr, secure.ConnectionState())
	} else if host, _, _ := net.SplitHostPort(addr); !loopback(host) {
		dr.advise(StepTLS, "set tls, if the cluster has a TLS listener", "%s is spoken to in plaintext: who is between can read secrets and records", addr)
	}
	if dr.d.cfg.SASL == nil {
		dr.advise(StepLogin, "set sasl, if the cluster can do it", "%s lets us in without a login", addr)
	} else {
		dr.good(StepLogin, "%s accepts our login", addr)
	}
	return conn
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (dr *doctor) certificate(addr string, state tls.ConnectionState) {
	if len(state.PeerCertificates) == 0 {
		return
	}
	end := state.PeerCertificates[0].NotAfter
	date := end.UTC().Format(time.DateOnly)
	switch left := time.Until(end); {
	case len(state.VerifiedChains) == 0:
		dr.bad(StepTLS, "remove insecureSkipVerify and give the authority in tls.ca", "the certificate of %s is not checked", addr)
	case left < expiresSoon:
		dr.bad(StepTLS, "renew the certificate of the broker", "the certificate of %s expires %s, in %d days", addr, date, int(left.Hours()/24))
	default:
		dr.good(StepTLS, "%s of %s, certificate valid until %s", tls.VersionName(state.Version), addr, date)
	}
}

// remedy says what usually helps.
func remedy(e *DialError) string {
	text := e.Error()
	switch e.Step {
	case StepResolve:
		return "check the name in bootstrap, and the resolver of this machine"
	case StepConnect:
		if strings.Contains(text, "refused") {
			return "check the port, and that the broker runs and listens on this address"
		}
		return "check firewalls and routes between this machine and the broker"
	case StepTLS:
		switch {
		case strings.Contains(text, "plaintext"):
			return "use the broker's TLS port, or remove the tls setting"
		case strings.Contains(text, "not trusted"):
			return "put the authority's certificate into tls.ca"
		case strings.Contains(text, "not valid for name"):
			return "use one of the certificate's names in bootstrap, or have the name added to it"
		case strings.Contains(text, "expired"), strings.Contains(text, "not valid before"):
			return "renew the broker's certificate, and check the clock of this machine"
		}
		return "check tls.cert and tls.key"
	case StepVersions:
		if strings.Contains(text, "tls setting") {
			return "add tls to the cluster, or use its plaintext port"
		}
		return "check that this is a Kafka broker"
	case StepLogin:
		switch {
		case strings.Contains(text, "does not offer"):
			return "use one of the mechanisms offered"
		case strings.Contains(text, "expects no login"):
			return "remove sasl from the cluster, or use a port with SASL"
		case strings.Contains(text, "read credentials"):
			return "check the secret that sasl refers to"
		}
		return "check user and secret, and that the user exists on the cluster"
	}
	return ""
}

// examine looks at the cluster as a whole.
func (dr *doctor) examine(ctx context.Context, conn *Conn, topics []string) {
	ask := func(req kmsg.Request) (kmsg.Response, bool) {
		if err := conn.chooseVersion(req); err != nil {
			dr.bad(StepVersions, "", "%v", err)
			return nil, false
		}
		resp, err := dr.cluster.exchange(ctx, conn, req)
		if err != nil {
			fix := ""
			if hungUp(err) && dr.d.cfg.SASL == nil {
				fix = "the broker may expect a login: set sasl"
			}
			dr.bad(StepMetadata, fix, "%v", &DialError{conn.addr, StepMetadata, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)})
			return nil, false
		}
		return resp, true
	}

	versions := new(kversion.Versions)
	for key, r := range conn.api.ranges {
		versions.SetMaxKeyVersion(key, r.Max)
	}
	if guess := versions.VersionGuess(); strings.Contains(guess, "between") {
		dr.good(StepVersions, "%s offers %d Kafka APIs, like no one release of Kafka", conn.addr, len(conn.api.ranges))
	} else {
		dr.good(StepVersions, "%s speaks like Kafka %s", conn.addr, guess)
	}
	if conn.api.ranges[kmsg.Metadata.Int16()].Max < 12 {
		dr.bad(StepVersions, "use Kafka 3.1 or later", "the cluster cannot look up topic ids")
	}

	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	req.IncludeTopicAuthorizedOperations = true
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	answer, ok := ask(req)
	if !ok {
		return
	}
	metadata := answer.(*kmsg.MetadataResponse)
	brokers := brokersOf(metadata)
	id := "without an id"
	if metadata.ClusterID != nil {
		id = *metadata.ClusterID
	}
	noun := "brokers"
	if len(brokers) == 1 {
		noun = "broker"
	}
	dr.good(StepMetadata, "cluster %s has %d %s", id, len(brokers), noun)
	dr.reach(ctx, brokers)
	for _, name := range topics {
		dr.topic(name, metadata.Topics)
	}

	if _, has := conn.api.ranges[kmsg.DescribeCluster.Int16()]; has {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.IncludeClusterAuthorizedOperations = true
		if answer, ok = ask(req); !ok {
			return
		}
		if resp := answer.(*kmsg.DescribeClusterResponse); resp.ErrorCode == 0 {
			dr.clusterRights(resp.ClusterAuthorizedOperations)
		}
	}
	for kind, what := range []string{"group", "transactional id"} {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorType = int8(kind)
		req.CoordinatorKey = doctorProbe
		req.CoordinatorKeys = []string{doctorProbe}
		if answer, ok = ask(req); !ok {
			return
		}
		resp := answer.(*kmsg.FindCoordinatorResponse)
		code, node := resp.ErrorCode, resp.NodeID
		if len(resp.Coordinators) > 0 {
			code, node = resp.Coordinators[0].ErrorCode, resp.Coordinators[0].NodeID
		}
		switch code {
		case kerr.GroupAuthorizationFailed.Code, kerr.TransactionalIDAuthorizationFailed.Code:
			dr.bad(stepRights, fmt.Sprintf("allow the principal READ and DESCRIBE (groups), WRITE and DESCRIBE (transactional ids) on every %s the gateway makes", what),
				"we may not describe %s %q", what, doctorProbe)
			continue
		case 0, kerr.CoordinatorNotAvailable.Code, kerr.CoordinatorLoadInProgress.Code:
			dr.good(stepRights, "we may describe %s %q", what, doctorProbe)
		default:
			dr.bad(stepRights, "", "ask for the coordinator of %s %q: %v", what, doctorProbe, kerr.ErrorForCode(code))
		}
		if kind == 0 && code == 0 {
			dr.groupRights(ctx, brokers, node)
		}
	}
}

const (
	stepBrokers Step = "brokers"
	stepTopics  Step = "topics"
	stepRights  Step = "rights"
)

// reach dials every broker as the cluster advertises it.
func (dr *doctor) reach(ctx context.Context, brokers []Broker) {
	for _, b := range brokers[:min(len(brokers), 64)] {
		if !b.valid() {
			dr.bad(stepBrokers, "set advertised.listeners of the broker", "node %d advertises the useless address %q", b.NodeID, clip(b.addr()))
			continue
		}
		dialCtx, cancel := context.WithTimeout(ctx, dr.d.cfg.DialTimeout)
		conn, err := dr.d.open(dialCtx, b.addr(), dr.d.cfg.ClientID, true)
		cancel()
		var failed *DialError
		if errors.As(err, &failed) {
			fix := remedy(failed)
			if failed.Step == StepResolve || failed.Step == StepConnect {
				fix = "set advertised.listeners of the broker to an address that this machine can reach"
			}
			dr.bad(stepBrokers, fix, "node %d, as advertised: %v", b.NodeID, failed)
			continue
		}
		conn.Close()
		dr.good(stepBrokers, "node %d is reached as advertised, at %s", b.NodeID, b.addr())
	}
}

// topic tells whether one backing topic is there and what may be done with it.
func (dr *doctor) topic(name string, topics []kmsg.MetadataResponseTopic) {
	i := slices.IndexFunc(topics, func(t kmsg.MetadataResponseTopic) bool { return t.Topic != nil && *t.Topic == name })
	if i < 0 {
		dr.bad(stepTopics, "", "topic %q: %v", name, errNoAnswer)
		return
	}
	switch t := topics[i]; t.ErrorCode {
	case 0, kerr.LeaderNotAvailable.Code:
		missing := lacking(t.AuthorizedOperations, kmsg.ACLOperationRead, kmsg.ACLOperationWrite, kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs)
		if len(missing) == 0 {
			dr.good(stepTopics, "topic %q has %d partitions", name, len(t.Partitions))
			return
		}
		dr.bad(stepRights, "allow the principal "+strings.Join(missing, ", ")+" on the topic, as far as it is offered",
			"topic %q is there, but we lack %s", name, strings.Join(missing, ", "))
	case kerr.UnknownTopicOrPartition.Code:
		dr.bad(stepTopics, "create the topic, or correct its name", "topic %q does not exist, or we may not see it", name)
	case kerr.TopicAuthorizationFailed.Code:
		dr.bad(stepRights, "allow the principal READ, WRITE, DESCRIBE and DESCRIBE_CONFIGS on the topic", "we may not see topic %q, if it exists", name)
	default:
		dr.bad(stepTopics, "", "topic %q: %v", name, kerr.ErrorForCode(t.ErrorCode))
	}
}

func (dr *doctor) clusterRights(operations int32) {
	missing := lacking(operations, kmsg.ACLOperationDescribe, kmsg.ACLOperationCreate)
	if len(missing) == 0 {
		dr.good(stepRights, "we may describe the cluster and create topics")
		return
	}
	dr.advise(stepRights, "allow the principal "+strings.Join(missing, ", ")+" on the cluster, if applications own namespaces or the cluster hosts system topics",
		"we lack %s on the cluster", strings.Join(missing, ", "))
}

// groupRights asks the coordinator what may be done with the probed group.
func (dr *doctor) groupRights(ctx context.Context, brokers []Broker, node int32) {
	i := slices.IndexFunc(brokers, func(b Broker) bool { return b.NodeID == node })
	if i < 0 {
		return
	}
	dialCtx, cancel := context.WithTimeout(ctx, dr.d.cfg.DialTimeout)
	defer cancel()
	conn, err := dr.d.open(dialCtx, brokers[i].addr(), dr.d.cfg.ClientID, true)
	if err != nil {
		return // reach has told
	}
	defer conn.Close()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{doctorProbe}
	req.IncludeAuthorizedOperations = true
	answer, err := dr.cluster.exchange(ctx, conn, req)
	if err != nil {
		dr.bad(stepRights, "", "describe group %q: %v", doctorProbe, err)
		return
	}
	for _, g := range answer.(*kmsg.DescribeGroupsResponse).Groups {
		if missing := lacking(g.AuthorizedOperations, kmsg.ACLOperationRead, kmsg.ACLOperationDescribe); g.ErrorCode == 0 && len(missing) > 0 {
			dr.bad(stepRights, "allow the principal READ, DESCRIBE and DELETE on the groups the gateway makes", "we lack %s on group %q", strings.Join(missing, ", "), doctorProbe)
		}
	}
}

// lacking returns the operations that are not in a bit field of KIP-430, none
// if the field was not filled in.
func lacking(operations int32, wanted ...kmsg.ACLOperation) []string {
	if operations == math.MinInt32 {
		return nil
	}
	var missing []string
	for _, op := range wanted {
		if operations&(1<<uint(op)) == 0 {
			missing = append(missing, op.String())
		}
	}
	return missing
}
