package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrHeader says that a frame does not begin with a legal header.
var ErrHeader = errors.New("malformed Kafka header")

// RequestHeader is the header of a request, version 1 or 2. Tagged fields of
// version 2 are checked and skipped: Kafka defines none.
type RequestHeader struct {
	APIKey        int16
	APIVersion    int16
	CorrelationID int32
	ClientID      string // what the client calls itself, never an identity
	HasClientID   bool   // false when the client sent null
}

// ParseRequestHeader splits a request frame into header and body; body is a
// view of frame. For an API key that is not known it returns the first three
// fields and an error wrapping [ErrUnknownAPI], since the rest cannot be
// read. Other errors wrap [ErrHeader] and come with the fields that were
// legible. Whether the version is a supported one is not looked at.
func ParseRequestHeader(frame []byte) (h RequestHeader, body []byte, err error) {
	body, err = h.Parse(frame)
	return h, body, err
}

// Parse is [ParseRequestHeader] into h, whose previous ClientID is kept if it
// is the same, so that a connection's requests allocate nothing.
func (h *RequestHeader) Parse(frame []byte) (body []byte, err error) {
	clientID := h.ClientID
	*h = RequestHeader{}
	if len(frame) < 8 {
		if len(frame) >= 4 {
			h.APIKey, h.APIVersion = int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
		}
		return nil, fmt.Errorf("%w: request of %d bytes", ErrHeader, len(frame))
	}
	h.APIKey, h.APIVersion = int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(frame[4:]))
	if lookup(h.APIKey) == nil {
		return nil, &errAPI{h.APIKey, h.APIVersion, ErrUnknownAPI}
	}
	b := frame[8:]
	if len(b) < 2 {
		return nil, fmt.Errorf("%w: no client id", ErrHeader)
	}
	n := int(int16(binary.BigEndian.Uint16(b)))
	b = b[2:]
	switch {
	case n < -1 || n > len(b):
		return nil, fmt.Errorf("%w: client id of %d bytes, %d left", ErrHeader, n, len(b))
	case n >= 0:
		h.HasClientID = true
		if string(b[:n]) == clientID {
			h.ClientID = clientID
		} else {
			h.ClientID = string(b[:n])
		}
		b = b[n:]
	}
	if Flexible(h.APIKey, h.APIVersion) {
		if b, err = skipTags(b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// skipTags steps over tagged fields of which none is known.
func skipTags(b []byte) ([]byte, error) {
	next := func() (uint32, error) {
		v, n := uvarint(b)
		if n <= 0 {
			return 0, fmt.Errorf("%w: varint in tagged fields", ErrHeader)
		}
		b = b[n:]
		return v, nil
	}
	count, err := next()
	if err != nil {
		return nil, err
	}
	if int64(count) > int64(len(b)/2) {
		return nil, fmt.Errorf("%w: tag count %d exceeds half of the %d bytes left", ErrHeader, count, len(b))
	}
	for previous := int64(-1); count > 0; count-- {
		tag, err := next()
		if err != nil {
			return nil, err
		}
		if int64(tag) <= previous {
			return nil, fmt.Errorf("%w: tag %d follows tag %d", ErrHeader, tag, previous)
		}
		previous = int64(tag)
		size, err := next()
		if err != nil {
			return nil, err
		}
		if int64(size) > int64(len(b)) {
			return nil, fmt.Errorf("%w: tag of %d bytes exceeds the %d left", ErrHeader, size, len(b))
		}
		b = b[size:]
	}
	return b, nil
}

// AppendRequestHeader appends h to dst, in the header version that its API
// key and version ask for, and returns the longer slice.
func AppendRequestHeader(dst []byte, h RequestHeader) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.APIKey))
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.APIVersion))
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.CorrelationID))
	if !h.HasClientID {
		dst = append(dst, 0xff, 0xff)
	} else {
		dst = appendString(dst, h.ClientID)
	}
	if Flexible(h.APIKey, h.APIVersion) {
		dst = append(dst, 0)
	}
	return dst
}

// ResponseHeaderFlexible reports whether responses of this version carry
// header version 1, which has tagged fields. ApiVersions never does, so that
// a client can read an answer to a version the broker does not know (KIP-511).
func ResponseHeaderFlexible(key, version int16) bool {
	return key != keyAPIVersions && Flexible(key, version)
}

// ParseResponseHeader splits a response frame into correlation id and body,
// which is a view of frame. Errors wrap [ErrHeader].
func ParseResponseHeader(key, version int16, frame []byte) (correlationID int32, body []byte, err error) {
	if len(frame) < 4 {
		return 0, nil, fmt.Errorf("%w: response of %d bytes", ErrHeader, len(frame))
	}
	correlationID, body = int32(binary.BigEndian.Uint32(frame)), frame[4:]
	if ResponseHeaderFlexible(key, version) {
		if body, err = skipTags(body); err != nil {
			return correlationID, nil, err
		}
	}
	return correlationID, body, nil
}

// AppendResponseHeader appends the header of a response to dst.
func AppendResponseHeader(dst []byte, key, version int16, correlationID int32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlationID))
	if ResponseHeaderFlexible(key, version) {
		dst = append(dst, 0)
	}
	return dst
}
