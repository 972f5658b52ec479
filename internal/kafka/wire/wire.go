// Package wire is the outermost layer of Kafka's protocol: frames, headers,
// the structural check that every body passes before anything decodes it, and
// the three requests a client may send before it has logged in.
//
// Its main entry points are [FrameReader], [ParseRequestHeader],
// [CheckRequest] and [CheckResponse]. Nothing here allocates by a size that a
// peer merely declares, and nothing loops longer than there are bytes.
//
// The package must not know of grants, topics a client may see, or kmsg: it
// tells whether bytes are a well-formed Kafka message, not what they ask for.
package wire

//go:generate go run ./schemagen -out schema_gen.go

import (
	"errors"
	"fmt"
)

var (
	// ErrUnknownAPI says that no message is known for an API key.
	ErrUnknownAPI = errors.New("unknown Kafka API key")
	// ErrUnsupportedVersion says that an API key is known, but not this version of it.
	ErrUnsupportedVersion = errors.New("unsupported version of a Kafka API")
)

// errAPI wraps err, one of the two above, with the API key and version.
type errAPI struct {
	key, version int16
	err          error
}

func (e *errAPI) Error() string {
	return fmt.Sprintf("%s v%d: %v", apiLabel(e.key), e.version, e.err)
}
func (e *errAPI) Unwrap() error { return e.err }

func apiLabel(key int16) string {
	if name := APIName(key); name != "" {
		return name
	}
	return fmt.Sprintf("API key %d", key)
}

// uvarint reads an unsigned varint of at most 32 bits. It returns n <= 0 when
// b ends too early (0) or the number is longer than that (-1).
func uvarint(b []byte) (v uint32, n int) {
	for i, c := range b {
		if i == 4 && c > 0x0f {
			return 0, -1
		}
		v |= uint32(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
