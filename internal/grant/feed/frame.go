package feed

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"sluice/internal/grant"
)

// A frame is a state, or a step from one to the next, signed. Streams and files have
// the same bytes: magic, head, grants and common, each after its length in four bytes
// (big endian), and a signature of 64 bytes (Ed25519ctx, RFC 8032).
const (
	magic     = "SLUICE-FEED-1\n"
	signedFor = "sluice feed frame" // so that a signature is good for nothing else
	// maxFrameBytes is what a frame may have at most. That is some millions of
	// credentials.
	maxFrameBytes = 512 << 20
)

// head says what a frame is of.
type head struct {
	Environment string `json:"environment"`
	// From is where a delta begins, zero for a whole state.
	From grant.Number `json:"from,omitzero"`
	To   grant.Number `json:"to"`
	// Sum is that of the state which the frame leads to.
	Sum sum `json:"sum"`
}

func (h head) whole() bool { return h.From == grant.Number{} }

// sign writes a frame.
func sign(key ed25519.PrivateKey, h head, grants []byte, common *Common) ([]byte, error) {
	top, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	var rest []byte
	if common != nil {
		if rest, err = json.Marshal(common); err != nil {
			return nil, err
		}
	}
	out := make([]byte, 0, len(magic)+3*4+len(top)+len(grants)+len(rest)+ed25519.SignatureSize)
	out = append(out, magic...)
	for _, part := range [][]byte{top, grants, rest} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
		out = append(out, part...)
	}
	if len(out)+ed25519.SignatureSize > maxFrameBytes {
		return nil, fmt.Errorf("state %v of %s has %d bytes, a frame may have %d", h.To, h.Environment, len(out), maxFrameBytes)
	}
	signature, err := key.Sign(nil, out, &ed25519.Options{Context: signedFor})
	if err != nil {
		return nil, err
	}
	return append(out, signature...), nil
}

// wholeFrame writes a frame of all of a state.
func wholeFrame(key ed25519.PrivateKey, h *held) ([]byte, error) {
	grants, err := h.Grants.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return sign(key, head{Environment: h.Grants.Environment(), To: h.Grants.Number(), Sum: h.sum}, grants, &h.Common)
}

// deltaFrame writes a frame of a step.
func deltaFrame(key ed25519.PrivateKey, environment string, d grant.Delta, common *Common, to sum) ([]byte, error) {
	grants, err := d.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return sign(key, head{Environment: environment, From: d.From, To: d.To, Sum: to}, grants, common)
}

// frame is one whose signature is good.
type frame struct {
	head
	grants []byte
	common *Common
}

// open checks a frame's signature, and only then what it says.
func open(key ed25519.PublicKey, b []byte) (*frame, error) {
	end := len(b) - ed25519.SignatureSize
	if end < len(magic) || string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("a state of %d bytes: %w", len(b), ErrDamaged)
	}
	if ed25519.VerifyWithOptions(key, b[:end], b[end:], &ed25519.Options{Context: signedFor}) != nil {
		return nil, ErrSignature
	}
	return parse(b[len(magic):end])
}

// parse reads what is between magic and signature.
func parse(b []byte) (*frame, error) {
	var part [3][]byte
	for i := range part {
		if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
			return nil, fmt.Errorf("it ends early: %w", ErrDamaged)
		}
		n := 4 + int(binary.BigEndian.Uint32(b))
		part[i], b = b[4:n], b[n:]
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%d bytes too many: %w", len(b), ErrDamaged)
	}
	f := &frame{grants: part[1]}
	if err := json.Unmarshal(part[0], &f.head); err != nil {
		return nil, fmt.Errorf("its head: %w: %w", err, ErrDamaged)
	}
	if len(part[2]) > 0 {
		f.common = new(Common)
		if err := json.Unmarshal(part[2], f.common); err != nil {
			return nil, fmt.Errorf("what its grants have in common: %w: %w", err, ErrDamaged)
		}
	}
	return f, nil
}

// on returns the state that a frame leads to from the one in force, which is nil at the
// beginning. An error leaves everything as it was; the state itself comes back when the
// frame says what is in force already.
func (f *frame) on(inForce *held, environment string) (*held, error) {
	if f.Environment != environment {
		return nil, fmt.Errorf("state %v is of %q, this gateway of %q: %w", f.To, f.Environment, environment, ErrEnvironment)
	}
	if inForce != nil {
		if err := after(inForce.Grants.Number(), f.To); err != nil {
			return nil, err
		}
		if f.To == inForce.Grants.Number() {
			if f.Sum != inForce.sum {
				return nil, fmt.Errorf("state %v: %w", f.To, ErrTwofold)
			}
			return inForce, nil
		}
	}
	next, err := f.made(inForce)
	if err != nil {
		return nil, fmt.Errorf("state %v: %w", f.To, err)
	}
	if next.sum != f.Sum {
		return nil, fmt.Errorf("state %v: its content is not what its head says: %w", f.To, ErrDamaged)
	}
	return next, nil
}

func (f *frame) made(inForce *held) (*held, error) {
	if f.whole() {
		grants := new(grant.Snapshot)
		if err := grants.UnmarshalBinary(f.grants); err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrDamaged)
		}
		if grants.Number() != f.To || grants.Environment() != f.Environment || f.common == nil {
			return nil, fmt.Errorf("its grants are %v of %q: %w", grants.Number(), grants.Environment(), ErrDamaged)
		}
		return hold(State{Grants: grants, Common: *f.common})
	}
	if inForce == nil || f.From != inForce.Grants.Number() {
		return nil, fmt.Errorf("it begins at %v: %w", f.From, ErrGap)
	}
	var d grant.Delta
	if err := d.UnmarshalBinary(f.grants); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrDamaged)
	}
	if d.From != f.From || d.To != f.To {
		return nil, fmt.Errorf("its grants lead from %v to %v: %w", d.From, d.To, ErrDamaged)
	}
	next, err := inForce.follow(d, f.common)
	if err != nil {
		return nil, errors.Join(err, ErrGap)
	}
	return next, nil
}
