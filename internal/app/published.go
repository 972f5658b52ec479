package app

import (
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
}

// publishedRecord is a record of the file: a whole, or a change.
type publishedRecord struct {
	Format   int              `json:"format"`
	History  *publish.History `json:"history,omitempty"`
	Snapshot *grant.Snapshot  `json:"snapshot,omitempty"`
	Past     []publish.Past   `json:"past,omitempty"`
	Delta    *grant.Delta     `json:"delta,omitempty"`
}

const publishedFormat = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// read takes what is in the file; nothing when there is none.
func (p *published) read() error {
	var later []publish.Past
	_, err := p.file.Read(func(b []byte) error {
		if len(b) < crc32.Size || binary.BigEndian.Uint32(b) != crc32.Checksum(b[crc32.Size:], castagnoli) {
			return journal.ErrDamaged
		}
		var r publishedRecord
		if err := json.Unmarshal(b[crc32.Size:], &r); err != nil {
			return err
		}
		switch {
		case r.Format != publishedFormat:
			return fmt.Errorf("it has format %d, this release reads %d", r.Format, publishedFormat)
		case r.History != nil && r.Snapshot != nil:
			p.history, p.snapshot, later = r.History, r.Snapshot, nil
		case p.history == nil:
			return fmt.Errorf("a change without what it changes: %w", journal.ErrDamaged)
		default:
			later = append(later, r.Past...)
			if r.Delta != nil {
				next, err := p.snapshot.Apply(*r.Delta)
				if err != nil {
					return err
				}
				p.snapshot = next
			}
		}
		return nil
	})
	if err != nil {
		p.history, p.snapshot = nil, nil
		return err
	}
	if later != nil {
		p.history = p.history.With(later)
	}
	return nil
}

// save writes what changed.
func (p *published) save(history *publish.History, snapshot *grant.Snapshot) error {
	r := publishedRecord{Format: publishedFormat}
	whole := p.history == nil || p.file.Long()
	if !whole {
		r.Past = history.Since(p.history)
		if p.snapshot != snapshot {
			if delta := p.snapshot.Diff(snapshot); delta.From != delta.To || len(delta.Put)+len(delta.Remove) > 0 {
				r.Delta = &delta
			}
		}
		if r.Past == nil && r.Delta == nil {
			p.history, p.snapshot = history, snapshot
			return nil
		}
		if whole = snapshot.Environment() != p.snapshot.Environment() || r.Delta != nil && r.Delta.To.Compare(r.Delta.From) <= 0; whole {
			r.Past, r.Delta = nil, nil
		}
	}
	if whole {
		r.History, r.Snapshot = history, snapshot
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	b = append(binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, castagnoli)), b...)
	if err := p.file.Keep(b, whole); err != nil {
		return fmt.Errorf("write data directory: %w", err)
	}
	p.history, p.snapshot = history, snapshot
	return nil
}
