package handler

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// granted builds a grant with topics a → phys.a and b → phys.b.
func granted(t testing.TB, edit func(*grant.Grant)) *grant.Grant {
	t.Helper()
	g := &grant.Grant{Application: "acme", Environment: "test", Cluster: "main", VirtualClusterID: "vc", Prefix: "tabcdefghijkl.", IDKey: grant.TopicID{1}}
	for _, n := range []string{"a", "b"} {
		sum := sha256.Sum256([]byte(n))
		g.Topics = append(g.Topics, &grant.Topic{Exposed: n, Backing: "phys." + n, ID: grant.TopicID(sum[:16]),
			Read: grant.Right{Access: grant.Granted}, Write: grant.Right{Access: grant.Granted},
			Phases: []grant.Phase{{State: grant.Open}}})
	}
	if edit != nil {
		edit(g)
	}
	if _, err := grant.New("test", grant.Number{}, []*grant.Credential{{Name: "c", Method: grant.Plain, Identity: "c", Grant: g}}); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestSubscriptionNamesAreMappedAndTheRestIsKept(t *testing.T) {
	g := granted(t, nil)
	for version := int16(0); version <= 3; version++ {
		rack := "r1"
		in := kmsg.ConsumerMemberMetadata{Version: version, Topics: []string{"a", "foreign", "phys.b"}, UserData: []byte("user data"), Generation: 7, Rack: &rack,
			OwnedPartitions: []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: "b", Partitions: []int32{1, 2}}}}
		original := in.AppendTo(nil)
		sent, err := embedSubscription(g, original)
		if err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		var physical kmsg.ConsumerMemberMetadata
		if err := physical.ReadFrom(sent); err != nil {
			t.Fatal(err)
		}
		want := []string{"phys.a", g.Prefix + "foreign", g.Prefix + "phys.b"}
		for i, n := range want {
			if physical.Topics[i] != n {
				t.Errorf("version %d: topic %d is sent as %q, want %q", version, i, physical.Topics[i], n)
			}
		}
		if version >= 1 && physical.OwnedPartitions[0].Topic != "phys.b" {
			t.Errorf("version %d: owned %q", version, physical.OwnedPartitions[0].Topic)
		}
		back, err := exposeSubscription(g, sent)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back, original) {
			t.Errorf("version %d: round trip\n got %x\nwant %x", version, back, original)
		}
	}
}

func TestForeignNamesInGroupBytesAreDropped(t *testing.T) {
	g := granted(t, nil)
	in := kmsg.ConsumerMemberAssignment{Topics: []kmsg.ConsumerMemberAssignmentTopic{
		{Topic: "phys.secret", Partitions: []int32{0}}, {Topic: "phys.a", Partitions: []int32{1}}, {Topic: g.Prefix + "a", Partitions: []int32{2}},
	}, UserData: []byte("u")}
	out, err := exposeAssignment(g, in.AppendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	var got kmsg.ConsumerMemberAssignment
	if err := got.ReadFrom(out); err != nil {
		t.Fatal(err)
	}
	if len(got.Topics) != 1 || got.Topics[0].Topic != "a" || got.Topics[0].Partitions[0] != 1 || string(got.UserData) != "u" {
		t.Errorf("got %+v, want only topic a", got)
	}
}

func FuzzEmbedded(f *testing.F) {
	g := granted(f, nil)
	for version := int16(0); version <= 3; version++ {
		m := kmsg.ConsumerMemberMetadata{Version: version, Topics: []string{"a", "x"}, OwnedPartitions: []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: "b", Partitions: []int32{1}}}}
		f.Add(m.AppendTo(nil))
	}
	f.Add((&kmsg.ConsumerMemberAssignment{Topics: []kmsg.ConsumerMemberAssignmentTopic{{Topic: "a", Partitions: []int32{1}}}}).AppendTo(nil))
	f.Add([]byte{0, 1, 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, round := range []struct {
			there, back func(*grant.Grant, []byte) ([]byte, error)
		}{
			{embedSubscription, exposeSubscription}, {embedAssignment, exposeAssignment},
		} {
			sent, err := round.there(g, in)
			if err != nil {
				if !errors.Is(err, errEmbedded) {
					t.Fatal(err)
				}
				continue
			}
			back, err := round.back(g, sent)
			if err != nil {
				t.Fatalf("what was sent cannot be read back: %v", err)
			}
			// A null array comes back as an empty one; apart from that the
			// bytes are the client's.
			if again, err := round.there(g, back); err != nil || !bytes.Equal(again, sent) {
				t.Fatalf("not stable: %x, then %x (%v)", sent, again, err)
			}
		}
	})
}
