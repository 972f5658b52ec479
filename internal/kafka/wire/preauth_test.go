package wire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestPreAuthParsersAgreeWithKmsg(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	text := kmsg.StringPtr
	for range 50 {
		tags := func(m any) { fill(r, reflect.ValueOf(m).Elem().FieldByName("UnknownTags"), 0, true) }
		for v := int16(0); v <= 1; v++ {
			m := kmsg.SASLHandshakeRequest{Version: v, Mechanism: string(randomBytes(r))}
			if got, err := ParseSaslHandshake(v, m.AppendTo(nil)); got != m.Mechanism || err != nil {
				t.Errorf("handshake v%d: got %q %v, want %q", v, got, err, m.Mechanism)
			}
		}
		for v := int16(0); v <= 2; v++ {
			m := kmsg.SASLAuthenticateRequest{Version: v, SASLAuthBytes: randomBytes(r)}
			tags(&m)
			if got, err := ParseSaslAuthenticate(v, m.AppendTo(nil)); !bytes.Equal(got, m.SASLAuthBytes) || err != nil {
				t.Errorf("authenticate v%d: got %x %v, want %x", v, got, err, m.SASLAuthBytes)
			}
		}
		for v := int16(0); v <= 5; v++ {
			m := kmsg.ApiVersionsRequest{Version: v, ClientSoftwareName: "kgo", ClientSoftwareVersion: "1.22.2-rc.1", ClusterID: text("c1"), NodeID: 4}
			if r.IntN(2) == 0 {
				m.ClusterID, m.NodeID = nil, -1
			}
			tags(&m)
			want := APIVersionsRequest{NodeID: -1}
			if v >= 3 {
				want.SoftwareName, want.SoftwareVersion = m.ClientSoftwareName, m.ClientSoftwareVersion
			}
			if v >= 5 {
				want.ClusterID, want.NodeID = m.ClusterID, m.NodeID
			}
			if got, err := ParseApiVersions(v, m.AppendTo(nil)); !reflect.DeepEqual(got, want) || err != nil {
				t.Errorf("api versions v%d: got %+v %v, want %+v", v, got, err, want)
			}
		}
	}
}

func TestPreAuthParsersRefuse(t *testing.T) {
	parse := map[int16]func(int16, []byte) error{
		17: func(v int16, b []byte) error { _, err := ParseSaslHandshake(v, b); return err },
		18: func(v int16, b []byte) error { _, err := ParseApiVersions(v, b); return err },
		36: func(v int16, b []byte) error { _, err := ParseSaslAuthenticate(v, b); return err },
	}
	for _, c := range []struct {
		name         string
		key, version int16
		body         string
		want         error
	}{
		{"no mechanism", 17, 1, "", ErrMalformed},
		{"null mechanism", 17, 1, "\xff\xff", ErrMalformed},
		{"mechanism cut off", 17, 1, "\x00\x05PLAI", ErrMalformed},
		{"mechanism and more", 17, 1, "\x00\x05PLAINx", ErrMalformed},
		{"handshake of the future", 17, 2, "\x00\x05PLAIN", ErrUnsupportedVersion},
		{"null auth bytes", 36, 1, "\xff\xff\xff\xff", ErrMalformed},
		{"auth bytes of two gigabytes", 36, 1, "\x7f\xff\xff\xffabc", ErrMalformed},
		{"null compact auth bytes", 36, 2, "\x00\x00", ErrMalformed},
		{"auth bytes without tags", 36, 2, "\x02a", ErrMalformed},
		{"tag count of two to the 26", 36, 2, "\x02a\x80\x80\x80\x20", ErrMalformed},
		{"authenticate of the future", 36, 3, "\x02a\x00", ErrUnsupportedVersion},
		{"null software name", 18, 3, "\x00\x02a\x00", ErrMalformed},
		{"name of a length beyond 32 bits", 18, 3, "\xff\xff\xff\xff\x1f\x02a\x00", ErrMalformed},
		{"empty software name", 18, 3, "\x01\x02a\x00", ErrSoftwareName},
		{"name with a space", 18, 3, "\x04a b\x02a\x00", ErrSoftwareName},
		{"name that ends in a dash", 18, 3, "\x02a\x03a-\x00", ErrSoftwareName},
		{"name that begins with a dot", 18, 3, "\x02a\x03.a\x00", ErrSoftwareName},
		{"line end in a name", 18, 3, "\x03a\n\x02a\x00", ErrSoftwareName},
		{"api versions of the future", 18, 6, "\x02a\x02a\x00", ErrUnsupportedVersion},
		{"negative version", 18, -1, "", ErrUnsupportedVersion},
	} {
		if err := parse[c.key](c.version, []byte(c.body)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestPreAuthResponsesAgreeWithKmsg(t *testing.T) {
	text := kmsg.StringPtr
	for v := int16(0); v <= 1; v++ {
		want := kmsg.SASLHandshakeResponse{Version: v, ErrorCode: 33, SupportedMechanisms: []string{"PLAIN", "SCRAM-SHA-512"}}
		if got := AppendSaslHandshakeResponse(nil, 33, want.SupportedMechanisms); !bytes.Equal(got, want.AppendTo(nil)) {
			t.Errorf("handshake v%d: got %x", v, got)
		}
	}
	for v := int16(0); v <= 2; v++ {
		for _, message := range []*string{nil, text(""), text("no such user"), text(strings.Repeat("x", 300))} {
			want := kmsg.SASLAuthenticateResponse{Version: v, ErrorCode: 58, ErrorMessage: message, SASLAuthBytes: []byte("r=1"), SessionLifetimeMillis: 9e5}
			if got := AppendSaslAuthenticateResponse(nil, v, 58, message, want.SASLAuthBytes, 9e5); !bytes.Equal(got, want.AppendTo(nil)) {
				t.Errorf("authenticate v%d: got %x", v, got)
			}
		}
	}
	for v := int16(0); v <= 5; v++ {
		for _, epoch := range []int64{-1, 0, 7} {
			r := APIVersionsResponse{
				ErrorCode: 35, Keys: []APIVersionRange{{0, 3, 12}, {18, 0, 4}}, ThrottleMillis: 250,
				SupportedFeatures: []FeatureRange{{"group.version", 0, 1}, {"metadata.version", 7, 25}},
				FinalizedFeatures: []FeatureRange{{"metadata.version", 7, 24}}, FinalizedEpoch: epoch,
			}
			want := kmsg.NewPtrApiVersionsResponse()
			want.Version, want.ErrorCode, want.ThrottleMillis, want.FinalizedFeaturesEpoch = v, 35, 250, epoch
			for _, k := range r.Keys {
				want.ApiKeys = append(want.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: k.APIKey, MinVersion: k.Min, MaxVersion: k.Max})
			}
			for _, f := range r.SupportedFeatures {
				if v >= 4 || f.Min > 0 {
					want.SupportedFeatures = append(want.SupportedFeatures, kmsg.ApiVersionsResponseSupportedFeature{Name: f.Name, MinVersion: f.Min, MaxVersion: f.Max})
				}
			}
			if epoch >= 0 {
				for _, f := range r.FinalizedFeatures {
					want.FinalizedFeatures = append(want.FinalizedFeatures, kmsg.ApiVersionsResponseFinalizedFeature{Name: f.Name, MinVersionLevel: f.Min, MaxVersionLevel: f.Max})
				}
			}
			got := AppendApiVersionsResponse(nil, v, r)
			if !bytes.Equal(got, want.AppendTo(nil)) {
				t.Errorf("api versions v%d epoch %d:\ngot  %x\nwant %x", v, epoch, got, want.AppendTo(nil))
			}
			if v <= 4 {
				if _, err := CheckResponse(18, v, got, 0); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// The hand-written parsers accept nothing that the structural check refuses.
func fuzzPreAuth(f *testing.F, key int16, parse func(int16, []byte) error) {
	r := rand.New(rand.NewPCG(1, 1))
	_, hi, _ := APIVersions(key)
	for v := int16(0); v <= hi; v++ {
		f.Add(v, randomBody(r, key, v, false))
	}
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		err := parse(version, body)
		if version < 0 || version > hi {
			return
		}
		shape, refused := CheckRequest(key, version, body, 0)
		if err == nil && refused != nil && !strings.Contains(refused.Error(), "32767") {
			t.Fatalf("parsed what the check refuses: %v", refused)
		} else if err != nil && refused == nil && shape.Left == 0 && !errors.Is(err, ErrSoftwareName) { // before the login nothing may be left over
			t.Fatalf("%v, yet the check lets it pass", err)
		}
	})
}

func FuzzParseSaslHandshake(f *testing.F) {
	fuzzPreAuth(f, 17, func(v int16, b []byte) error { _, err := ParseSaslHandshake(v, b); return err })
}

func FuzzParseSaslAuthenticate(f *testing.F) {
	fuzzPreAuth(f, 36, func(v int16, b []byte) error { _, err := ParseSaslAuthenticate(v, b); return err })
}

func FuzzParseApiVersions(f *testing.F) {
	fuzzPreAuth(f, 18, func(v int16, b []byte) error { _, err := ParseApiVersions(v, b); return err })
}
