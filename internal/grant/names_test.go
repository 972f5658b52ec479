package grant

import (
	"encoding/base32"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tricks are names that somebody may try to reach another name with.
func tricks(prefixes []string) []string {
	names := []string{"", ".", "..", "...", "a", "a.b", "a_b", "A", "orders", "Orders", "orders.", "orders ", " orders", "or\x00ders", "\x00", "ünïcode", "\xff\xfe",
		"__consumer_offsets", "__transaction_state", "__share_group_state", "_", "-", "a/b", "a\\b", "a,b", "*", ".*", strings.Repeat("x", 234), strings.Repeat("x", 235),
		strings.Repeat("x", 236), strings.Repeat("x", 249), strings.Repeat("x", 250), "phys.orders", "phys.", "adopted", "adopted.group", "t", "taaaaaaaaaaaa", "taaaaaaaaaaaa."}
	for _, p := range prefixes {
		names = append(names, p, p[:13], p+"orders", p+p, p+p+"orders", p+"adopted", p+".", p+"__consumer_offsets", strings.ToUpper(p)+"orders", p[:12]+"."+"orders", "x"+p+"orders", p+"phys.orders")
	}
	return names
}

// tenant makes an application's grant from r, sometimes without a namespace,
// sometimes with topics exposed under each other's backing names.
func tenant(t *testing.T, r *rand.Rand, prefix string) *Grant {
	t.Helper()
	g := &Grant{Application: prefix, Prefix: prefix, Groups: []string{"adopted", "adopted.group"}, TransactionalIDs: []string{"adopted"}}
	binary.BigEndian.PutUint64(g.IDKey[:], r.Uint64())
	if r.IntN(3) > 0 {
		g.Namespace.Topics = 10
	}
	for i, names := range [][2]string{{"orders", "phys.orders"}, {"phys.orders", "orders"}, {"a.b", "a_b"}, {"a_b", "phys.a"}, {"a", "a"}, {"__exposed", "phys.b"}} {
		if r.IntN(3) > 0 {
			topic := &Topic{Exposed: names[0], Backing: names[1], Phases: []Phase{{State: Open}}}
			binary.BigEndian.PutUint64(topic.ID[:], r.Uint64())
			topic.ID[15] = byte(i) + 1
			g.Topics = append(g.Topics, topic)
		}
	}
	if err := g.build(); err != nil {
		t.Fatal(err)
	}
	return g
}

// The mapping of names, for pairs of names and pairs of tenants: what a client
// says and what comes back are the same, two names never become one, and none
// of a tenant's own names is another's, whatever anybody types. SLUICE_FULL=1
// tries over a million pairs; SLUICE_SEED replays.
func TestNamesMapBackAndNeverMeet(t *testing.T) {
	seed, pairs := uint64(1), 60_000
	if os.Getenv("SLUICE_FULL") == "1" {
		pairs = 1_500_000
	}
	if text := os.Getenv("SLUICE_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal("SLUICE_SEED: ", err)
		}
		seed = n
	}
	r := rand.New(rand.NewPCG(seed, 0))
	const tenants = 40
	var prefixes []string
	for range tenants {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], r.Uint64())
		prefixes = append(prefixes, "t"+strings.ToLower(base32.StdEncoding.EncodeToString(b[:])[:12])+".")
	}
	prefixes = append(prefixes, "taaaaaaaaaaaa.", "taaaaaaaaaaab.", "tttttttttttt2.")
	names := tricks(prefixes[len(prefixes)-4:])
	name := func() string {
		if r.IntN(4) > 0 {
			return names[r.IntN(len(names))]
		}
		b := make([]byte, r.IntN(20))
		const alphabet = "ab._-t2\x00é "
		for i := range b {
			b[i] = alphabet[r.IntN(len(alphabet))]
		}
		if r.IntN(3) == 0 {
			return prefixes[r.IntN(len(prefixes))] + string(b)
		}
		return string(b)
	}
	grants := make([]*Grant, len(prefixes))
	for i, p := range prefixes {
		grants[i] = tenant(t, r, p)
	}
	type mapping struct {
		what string
		to   func(*Grant, string) (string, bool)
		back func(*Grant, string) (string, bool)
	}
	always := func(f func(*Grant, string) string) func(*Grant, string) (string, bool) {
		return func(g *Grant, s string) (string, bool) { return f(g, s), true }
	}
	mappings := []mapping{
		{"own topic", (*Grant).OwnTopic, (*Grant).OwnTopicExposed},
		{"topic", func(g *Grant, s string) (string, bool) {
			if topic := g.Topic(s); topic != nil {
				return topic.Backing, true
			}
			return g.OwnTopic(s)
		}, func(g *Grant, s string) (string, bool) {
			if topic := g.TopicByBacking(s); topic != nil {
				return topic.Exposed, true
			}
			return g.OwnTopicExposed(s)
		}},
		{"embedded topic", always((*Grant).EmbeddedTopic), (*Grant).EmbeddedTopicExposed},
		{"group", always((*Grant).Group), (*Grant).GroupExposed},
		{"transactional id", always((*Grant).TransactionalID), (*Grant).TransactionalIDExposed},
	}
	mapped := 0
	for range pairs {
		g, other := grants[r.IntN(len(grants))], grants[r.IntN(len(grants))]
		x, y := name(), name()
		for _, m := range mappings {
			px, okx := m.to(g, x)
			if !okx {
				continue
			}
			mapped++
			if again, ok := m.back(g, px); !ok || again != x {
				t.Fatalf("SLUICE_SEED=%d: %s %q becomes %q of %s and comes back as %q, %v", seed, m.what, x, px, g.Prefix, again, ok)
			}
			if py, ok := m.to(g, y); ok && x != y && px == py {
				t.Fatalf("SLUICE_SEED=%d: %s %q and %q of %s are both %q", seed, m.what, x, y, g.Prefix, px)
			}
			if own := strings.HasPrefix(px, g.Prefix); !own && !granted(g, x) {
				t.Fatalf("SLUICE_SEED=%d: %s %q of %s becomes %q, which nobody granted", seed, m.what, x, g.Prefix, px)
			} else if own && g != other {
				if exposed, ok := m.back(other, px); ok {
					t.Fatalf("SLUICE_SEED=%d: %s %q of %s is %q to %s", seed, m.what, x, g.Prefix, exposed, other.Prefix)
				}
				if py, ok := m.to(other, y); ok && py == px {
					t.Fatalf("SLUICE_SEED=%d: %s %q of %s and %q of %s are both %q", seed, m.what, x, g.Prefix, y, other.Prefix, px)
				}
			}
			if m.what == "own topic" && (!LegalTopicName(px) || Internal(px)) {
				t.Fatalf("SLUICE_SEED=%d: own topic %q becomes %q", seed, x, px)
			}
		}
		// What the broker says: a name comes back only from where it leads.
		for _, m := range mappings {
			if exposed, ok := m.back(g, x); ok {
				if px, again := m.to(g, exposed); !again || px != x {
					t.Fatalf("SLUICE_SEED=%d: %s %q of the broker is %q to %s, which leads to %q", seed, m.what, x, exposed, g.Prefix, px)
				}
			}
		}
		ids(t, r, seed, g, other)
	}
	t.Logf("%d pairs of names and tenants, %d mapped", pairs, mapped)
	if mapped < pairs {
		t.Error("too few names map at all")
	}
}

// granted reports whether a name is one that somebody granted or adopted for g.
func granted(g *Grant, x string) bool {
	return g.Topic(x) != nil || slices.Contains(g.Groups, x) || slices.Contains(g.TransactionalIDs, x)
}

// ids checks the ids of own topics: a permutation that only the key can turn
// back, and another one for each tenant.
func ids(t *testing.T, r *rand.Rand, seed uint64, g, other *Grant) {
	t.Helper()
	var id TopicID
	if r.IntN(4) > 0 {
		binary.BigEndian.PutUint64(id[:], r.Uint64())
		binary.BigEndian.PutUint64(id[8:], r.Uint64())
	}
	id[15] ^= byte(r.IntN(2))
	virtual := g.VirtualID(id)
	if g.PhysicalID(virtual) != id || g.VirtualID(g.PhysicalID(id)) != id {
		t.Fatalf("SLUICE_SEED=%d: id %v does not come back", seed, id)
	}
	if virtual == id || g != other && (other.VirtualID(id) == virtual || other.PhysicalID(virtual) == id) {
		t.Fatalf("SLUICE_SEED=%d: id %v of %s is the same to %s", seed, id, g.Prefix, other.Prefix)
	}
	neighbour := id
	neighbour[r.IntN(16)] ^= 1 << r.IntN(8)
	if g.VirtualID(neighbour) == virtual {
		t.Fatalf("SLUICE_SEED=%d: ids %v and %v become one", seed, id, neighbour)
	}
}
