package clientmetrics

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// maxPlainBytes is the largest push once decompressed, whatever it was before.
// No ratio is looked at: metrics of a thousand partitions repeat themselves.
const maxPlainBytes = 4 << 20

// maxWindow is what a zstd frame may ask for to be remembered while it is
// decompressed; RFC 8878 §3.1.1.1.2 has all decoders support 8 MiB.
const maxWindow = 8 << 20

// plains are buffers for decompressed pushes.
var plains = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// decompress returns the plain bytes of a push, which are good until release is
// called. It reads as a stream and stops at the bound, so a bomb costs no more
// than an honest push of that size.
func decompress(compression int8, payload []byte) (plain []byte, release func(), err error) {
	var from io.Reader
	switch compression {
	case none:
		if len(payload) > maxPlainBytes {
			return nil, nil, fmt.Errorf("%w: %d bytes", errTooMuch, len(payload))
		}
		return payload, func() {}, nil
	case gzipped:
		if from, err = gzip.NewReader(bytes.NewReader(payload)); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", errMalformed, err)
		}
	case snappy:
		from = &snappyReader{rest: payload}
	case lz4Framed:
		from = lz4.NewReader(bytes.NewReader(payload))
	case zstandard:
		z, err := zstd.NewReader(bytes.NewReader(payload), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", errMalformed, err)
		}
		defer z.Close()
		from = z
	}
	buffer := plains.Get().(*bytes.Buffer)
	buffer.Reset()
	release = func() { plains.Put(buffer) }
	if _, err := io.Copy(buffer, io.LimitReader(from, maxPlainBytes+1)); err != nil {
		release()
		return nil, nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if buffer.Len() > maxPlainBytes {
		release()
		return nil, nil, fmt.Errorf("%w: decompressed beyond %d bytes", errTooMuch, maxPlainBytes)
	}
	return buffer.Bytes(), release, nil
}

// snappyReader reads one block of snappy, as librdkafka writes it, or the
// blocks with lengths in front of them that snappy-java writes.
type snappyReader struct {
	rest   []byte
	framed bool
	begun  bool
	plain  []byte // decompressed, not read yet
	total  int
}

// xerial is how a stream of snappy-java begins; two versions, of four bytes each,
// follow.
var xerial = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

func (s *snappyReader) Read(p []byte) (int, error) {
	for len(s.plain) == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.plain)
	s.plain = s.plain[n:]
	return n, nil
}

func (s *snappyReader) next() error {
	if !s.begun {
		s.begun = true
		if s.framed = bytes.HasPrefix(s.rest, xerial); s.framed {
			s.rest = s.rest[min(len(s.rest), len(xerial)+8):]
		}
	}
	if len(s.rest) == 0 {
		return io.EOF
	}
	block := s.rest
	if s.framed {
		if len(s.rest) < 4 {
			return io.ErrUnexpectedEOF
		}
		size := int64(binary.BigEndian.Uint32(s.rest))
		if size > int64(len(s.rest)-4) {
			return io.ErrUnexpectedEOF
		}
		block = s.rest[4 : 4+size]
	}
	s.rest = s.rest[len(block):]
	if s.framed {
		s.rest = s.rest[4:]
	}
	// A block says its size in front and is decompressed as a whole.
	size, err := s2.DecodedLen(block)
	if err != nil {
		return err
	}
	if s.total += size; s.total > maxPlainBytes {
		return errTooMuch
	}
	s.plain, err = s2.Decode(nil, block)
	return err
}
