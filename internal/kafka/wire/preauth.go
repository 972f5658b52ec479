package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The API keys a client may use before it has logged in.
const (
	keySASLHandshake    = 17
	keyAPIVersions      = 18
	keySASLAuthenticate = 36
)

// MaxPreAuthFrameBytes is the largest frame worth reading from a client that
// has not logged in.
const MaxPreAuthFrameBytes = 64 << 10

// PreAuth reports whether a client may send this API key before it has logged in.
func PreAuth(key int16) bool {
	return key == keySASLHandshake || key == keyAPIVersions || key == keySASLAuthenticate
}

// ErrMalformed says that the body of a request before login cannot be read.
var ErrMalformed = errors.New("malformed request")

// ErrSoftwareName says that the client software name or version of an
// ApiVersions request breaks KIP-511's rule; Kafka answers INVALID_REQUEST.
var ErrSoftwareName = errors.New("client software name or version is not of letters, digits, dots and dashes")

// cursor reads a body; after the first problem everything reads as zero.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
	c.b = nil
}

func (c *cursor) take(what string, n int) []byte {
	if n < 0 || n > len(c.b) {
		c.fail("%s of %d bytes, %d left", what, n, len(c.b))
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

// compact reads the length of a compact string or bytes, -1 for null.
func (c *cursor) compact(what string) int {
	v, n := uvarint(c.b)
	if n <= 0 {
		c.fail("length of %s", what)
		return 0
	}
	c.b = c.b[n:]
	return int(int64(v) - 1)
}

func (c *cursor) end(flexible bool) error {
	if flexible && c.err == nil {
		b, err := skipTags(c.b)
		if err != nil {
			c.fail("%v", err)
		}
		c.b = b
	}
	if c.err == nil && len(c.b) > 0 {
		c.fail("%d bytes left over", len(c.b))
	}
	return c.err
}

// ParseSaslHandshake reads the mechanism a client asks for, versions 0 and 1.
// Errors wrap [ErrMalformed] or [ErrUnsupportedVersion].
func ParseSaslHandshake(version int16, body []byte) (mechanism string, err error) {
	if version < 0 || version > 1 {
		return "", &errAPI{keySASLHandshake, version, ErrUnsupportedVersion}
	}
	c := cursor{b: body}
	if n := c.take("length of mechanism", 2); n != nil {
		mechanism = string(c.take("mechanism", int(int16(binary.BigEndian.Uint16(n)))))
	}
	if err := c.end(false); err != nil {
		return "", fmt.Errorf("SaslHandshake v%d: %w", version, err)
	}
	return mechanism, nil
}

// ParseSaslAuthenticate reads what the mechanism of the client says, versions
// 0 to 2. The result is a view of body. Errors wrap [ErrMalformed] or
// [ErrUnsupportedVersion].
func ParseSaslAuthenticate(version int16, body []byte) (authBytes []byte, err error) {
	c := cursor{b: body}
	switch version {
	case 0, 1:
		if n := c.take("length of auth bytes", 4); n != nil {
			authBytes = c.take("auth bytes", int(int32(binary.BigEndian.Uint32(n))))
		}
	case 2:
		authBytes = c.take("auth bytes", c.compact("auth bytes"))
	default:
		return nil, &errAPI{keySASLAuthenticate, version, ErrUnsupportedVersion}
	}
	if err := c.end(version >= 2); err != nil {
		return nil, fmt.Errorf("SaslAuthenticate v%d: %w", version, err)
	}
	return authBytes, nil
}

// APIVersionsRequest is what a client tells about itself when it asks for the
// API versions.
type APIVersionsRequest struct {
	SoftwareName    string  // KIP-511, from version 3
	SoftwareVersion string  // KIP-511, from version 3
	ClusterID       *string // KIP-1242, from version 5: the cluster the client means to reach
	NodeID          int32   // KIP-1242, from version 5: the broker it means to reach, otherwise -1
}

// ParseApiVersions reads an ApiVersions request, versions 0 to 5. Errors wrap
// [ErrMalformed], [ErrUnsupportedVersion], to be answered in version 0, or
// [ErrSoftwareName], to be answered INVALID_REQUEST.
func ParseApiVersions(version int16, body []byte) (r APIVersionsRequest, err error) {
	r.NodeID = -1
	if version < 0 || version > 5 {
		return r, &errAPI{keyAPIVersions, version, ErrUnsupportedVersion}
	}
	c := cursor{b: body}
	if version >= 3 {
		r.SoftwareName = string(c.take("software name", c.compact("software name")))
		r.SoftwareVersion = string(c.take("software version", c.compact("software version")))
	}
	if version >= 5 {
		if n := c.compact("cluster id"); n >= 0 {
			id := string(c.take("cluster id", n))
			r.ClusterID = &id
		}
		if n := c.take("node id", 4); n != nil {
			r.NodeID = int32(binary.BigEndian.Uint32(n))
		}
	}
	if err := c.end(version >= 3); err != nil {
		return APIVersionsRequest{NodeID: -1}, fmt.Errorf("ApiVersions v%d: %w", version, err)
	}
	if version >= 3 && (!softwareName(r.SoftwareName) || !softwareName(r.SoftwareVersion)) {
		return APIVersionsRequest{NodeID: -1}, fmt.Errorf("ApiVersions v%d: %w", version, ErrSoftwareName)
	}
	return r, nil
}

// softwareName is Kafka's [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])? (KIP-511).
func softwareName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case (c == '-' || c == '.') && i > 0 && i < len(s)-1:
		default:
			return false
		}
	}
	return s != ""
}

// AppendSaslHandshakeResponse appends the body that lists the mechanisms a
// client may use; versions 0 and 1 are alike.
func AppendSaslHandshakeResponse(dst []byte, errorCode int16, mechanisms []string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(errorCode))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(mechanisms)))
	for _, m := range mechanisms {
		dst = appendString(dst, m)
	}
	return dst
}

// AppendSaslAuthenticateResponse appends the answer to a step of a login, in
// versions 0 to 2. From version 1 on, lifetimeMillis tells the client when to
// log in again; zero means never (KIP-368). message is null when nil.
func AppendSaslAuthenticateResponse(dst []byte, version, errorCode int16, message *string, authBytes []byte, lifetimeMillis int64) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(errorCode))
	if version >= 2 {
		if message == nil {
			dst = append(dst, 0)
		} else {
			dst = appendCompact(dst, *message)
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(authBytes))+1), authBytes...)
	} else {
		if message == nil {
			dst = append(dst, 0xff, 0xff)
		} else {
			dst = appendString(dst, *message)
		}
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(authBytes))), authBytes...)
	}
	if version >= 1 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(lifetimeMillis))
	}
	if version >= 2 {
		dst = append(dst, 0)
	}
	return dst
}

// APIVersionRange is an API key with the versions offered, inclusive.
type APIVersionRange struct {
	APIKey, Min, Max int16
}

// FeatureRange is a feature such as group.version with its levels, inclusive.
type FeatureRange struct {
	Name     string
	Min, Max int16
}

// APIVersionsResponse is what an ApiVersions request is answered with.
type APIVersionsResponse struct {
	ErrorCode         int16
	Keys              []APIVersionRange
	ThrottleMillis    int32 // from version 1
	SupportedFeatures []FeatureRange
	// FinalizedFeatures are sent from version 3 on, when FinalizedEpoch is
	// not negative.
	FinalizedFeatures []FeatureRange
	FinalizedEpoch    int64
}

// AppendApiVersionsResponse appends the body of r in versions 0 to 5. Before
// version 4 supported features that start at level 0 are left out, since older
// clients refuse them (KAFKA-17011).
func AppendApiVersionsResponse(dst []byte, version int16, r APIVersionsResponse) []byte {
	flexible := version >= 3
	dst = binary.BigEndian.AppendUint16(dst, uint16(r.ErrorCode))
	if flexible {
		dst = binary.AppendUvarint(dst, uint64(len(r.Keys))+1)
	} else {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(r.Keys)))
	}
	for _, k := range r.Keys {
		for _, n := range [...]int16{k.APIKey, k.Min, k.Max} {
			dst = binary.BigEndian.AppendUint16(dst, uint16(n))
		}
		if flexible {
			dst = append(dst, 0)
		}
	}
	if version >= 1 {
		dst = binary.BigEndian.AppendUint32(dst, uint32(r.ThrottleMillis))
	}
	if !flexible {
		return dst
	}
	var supported []FeatureRange
	for _, f := range r.SupportedFeatures {
		if version >= 4 || f.Min > 0 {
			supported = append(supported, f)
		}
	}
	finalized := r.FinalizedEpoch >= 0
	count := 0
	for _, present := range [...]bool{len(supported) > 0, finalized, finalized && len(r.FinalizedFeatures) > 0} {
		if present {
			count++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(count))
	if len(supported) > 0 {
		dst = appendTag(dst, 0, appendFeatures(nil, supported, false))
	}
	if finalized {
		dst = appendTag(dst, 1, binary.BigEndian.AppendUint64(nil, uint64(r.FinalizedEpoch)))
		if len(r.FinalizedFeatures) > 0 {
			dst = appendTag(dst, 2, appendFeatures(nil, r.FinalizedFeatures, true))
		}
	}
	return dst
}

// appendFeatures writes the highest level first where Kafka's definition of
// finalized features does.
func appendFeatures(dst []byte, features []FeatureRange, maxFirst bool) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(features))+1)
	for _, f := range features {
		a, b := f.Min, f.Max
		if maxFirst {
			a, b = b, a
		}
		dst = appendCompact(dst, f.Name)
		dst = binary.BigEndian.AppendUint16(dst, uint16(a))
		dst = binary.BigEndian.AppendUint16(dst, uint16(b))
		dst = append(dst, 0)
	}
	return dst
}

func appendTag(dst []byte, tag uint64, value []byte) []byte {
	dst = binary.AppendUvarint(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

func appendString(dst []byte, s string) []byte {
	s = s[:min(len(s), 1<<15-1)]
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

func appendCompact(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))+1), s...)
}
