package app

import (
	"encoding"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"

	"sluice/internal/control/publish"
	"sluice/internal/grant"
	"sluice/internal/journal"
)

// publishedFile holds, with a control plane, what history and snapshot are in files of
// their own otherwise: changes are many there, and small against what there is.
const publishedFile = "published"

// published is what the last compile came to, on disk.
type published struct {
	file     journal.File
	history  *publish.History // that are in the file
	snapshot *grant.Snapshot
	cut      bool // the file has lost the last change
}

// A record is a checksum of what follows; the format; whether it is a whole; the history,
// or the pasts that changed, as JSON behind its length; and the snapshot, or a delta, in
// its binary form, or nothing.
const publishedFormat = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func publishedRecord(whole bool, past any, grants encoding.BinaryMarshaler) ([]byte, error) {
	text, err := json.Marshal(past)
	if err != nil {
		return nil, err
	}
	b := make([]byte, crc32.Size, crc32.Size+16+2*len(text))
	b = append(b, publishedFormat, map[bool]byte{true: 1}[whole])
	b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	if grants != nil {
		more, err := grants.MarshalBinary()
		if err != nil {
			return nil, err
		}
		b = append(b, more...)
	}
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[crc32.Size:], castagnoli))
	return b, nil
}

// splitPublished is the way back.
func splitPublished(b []byte) (whole bool, past, grants []byte, err error) {
	const head = crc32.Size + 2
	if len(b) < head || binary.BigEndian.Uint32(b) != crc32.Checksum(b[crc32.Size:], castagnoli) {
		return false, nil, nil, journal.ErrDamaged
	}
	if b[crc32.Size] != publishedFormat {
		return false, nil, nil, fmt.Errorf("it has format %d, this release reads %d", b[crc32.Size], publishedFormat)
	}
	length, n := binary.Uvarint(b[head:])
	if n <= 0 || length > uint64(len(b)-head-n) {
		return false, nil, nil, journal.ErrDamaged
	}
	text := head + n
	return b[crc32.Size+1] == 1, b[text : text+int(length)], b[text+int(length):], nil
}

// read takes what is in the file; nothing when there is none.
func (p *published) read() error {
	var later []publish.Past
	cut, err := p.file.Read(func(b []byte) error {
		whole, past, grants, err := splitPublished(b)
		if err != nil {
			return err
		}
		if whole {
			p.history, p.snapshot, later = new(publish.History), new(grant.Snapshot), nil
			if err := p.history.UnmarshalJSON(past); err != nil {
				return err
			}
			return p.snapshot.UnmarshalBinary(grants)
		}
		if p.history == nil {
			return fmt.Errorf("a change without what it changes: %w", journal.ErrDamaged)
		}
		var changed []publish.Past
		if err := json.Unmarshal(past, &changed); err != nil {
			return err
		}
		later = append(later, changed...)
		if len(grants) == 0 {
			return nil
		}
		var delta grant.Delta
		if err := delta.UnmarshalBinary(grants); err != nil {
			return err
		}
		p.snapshot, err = p.snapshot.Apply(delta)
		return err
	})
	if err != nil {
		p.history, p.snapshot = nil, nil
		return err
	}
	if p.cut = cut; later != nil {
		p.history = p.history.With(later)
	}
	return nil
}

// save writes what changed.
func (p *published) save(history *publish.History, snapshot *grant.Snapshot) error {
	whole := p.history == nil || p.file.Long()
	var past any = history
	var grants encoding.BinaryMarshaler = snapshot
	if !whole {
		changed, delta := history.Since(p.history), p.snapshot.Diff(snapshot)
		same := delta.From == delta.To && len(delta.Put)+len(delta.Remove) == 0
		if same && changed == nil {
			p.history, p.snapshot = history, snapshot
			return nil
		}
		// a delta goes forward, within an environment
		if whole = !same && (snapshot.Environment() != p.snapshot.Environment() || delta.To.Compare(delta.From) <= 0); !whole {
			past, grants = changed, nil
			if !same {
				grants = delta
			}
		}
	}
	b, err := publishedRecord(whole, past, grants)
	if err != nil {
		return err
	}
	if err := p.file.Keep(b, whole); err != nil {
		return fmt.Errorf("write data directory: %w", err)
	}
	p.history, p.snapshot = history, snapshot
	return nil
}
