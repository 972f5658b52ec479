// Package journal keeps a state in a file: a record of the whole, and records of the
// changes behind it, so that writing a change costs what the change weighs. Its main
// type is File. It does not know what records say, nor whether they are what was
// written: whoever reads them has a signature or a checksum in them.
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
)

// ErrDamaged says that a file is not as it was written.
var ErrDamaged = errors.New("it is damaged")

// File is a journal on disk. Before each record stand its length and a checksum of
// that, so that one that a crash cut off is told from one that is damaged. It is for
// one goroutine at a time.
type File struct {
	// Name is where it is.
	Name string
	// Save replaces a file as a whole or not at all, also over a power failure.
	Save func(name string, data []byte) error

	whole, changes int64 // bytes of either
	stale          bool
}

// HeadBytes is how many bytes stand before each record.
const HeadBytes = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func record(b []byte) []byte {
	out := make([]byte, 0, HeadBytes+len(b))
	out = binary.BigEndian.AppendUint32(out, uint32(len(b)))
	out = binary.BigEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
	return append(out, b...)
}

// split returns the records of a file, and how many of its bytes they take: the rest is
// one that was cut off, or of which not even the length can be read. With another record
// behind it, the file is damaged.
func split(b []byte) (records [][]byte, taken int, err error) {
	for taken+HeadBytes <= len(b) {
		n, ok := head(b[taken:])
		switch {
		case ok && uint64(n) > uint64(len(b)-taken-HeadBytes):
			return records, taken, nil
		case !ok && goesOn(b[taken+1:]):
			return records, taken, fmt.Errorf("no record begins at byte %d: %w", taken, ErrDamaged)
		case !ok:
			return records, taken, nil
		}
		from := taken + HeadBytes
		taken = from + int(n)
		records = append(records, b[from:taken])
	}
	return records, taken, nil
}

// head reads what stands before a record; false when it is not as it was written.
func head(b []byte) (length uint32, ok bool) {
	return binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]) == crc32.Checksum(b[:4], castagnoli)
}

// goesOn reports whether a record begins somewhere and is there as a whole.
func goesOn(b []byte) bool {
	for ; len(b) >= HeadBytes; b = b[1:] {
		if n, ok := head(b); ok && uint64(n) <= uint64(len(b)-HeadBytes) {
			return true
		}
	}
	return false
}

// Read calls step with each record, the whole first; with none when there is no file.
// cut says that the last change is lost, and not in the file any more: it was cut off, as
// happens when a machine dies while it is written, or is damaged, which is for step to tell
// by ErrDamaged. The error is that of step, or of reading, or wraps ErrDamaged; after an
// error of step for the last change, what step did for it must have no effect.
func (f *File) Read(step func(record []byte) error) (cut bool, err error) {
	b, err := os.ReadFile(f.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	records, taken, err := split(b)
	if err != nil {
		return false, err
	}
	if len(records) == 0 {
		return false, fmt.Errorf("it has no record: %w", ErrDamaged)
	}
	for i, r := range records {
		err := step(r)
		if last := i > 0 && i == len(records)-1 && taken == len(b); last && errors.Is(err, ErrDamaged) {
			taken -= HeadBytes + len(r)
		} else if err != nil {
			return false, fmt.Errorf("record %d: %w", i+1, err)
		}
	}
	if cut = taken < len(b); cut {
		if err := os.Truncate(f.Name, int64(taken)); err != nil {
			f.stale = true
		}
	}
	f.whole = int64(HeadBytes + len(records[0]))
	f.changes = int64(taken) - f.whole
	return cut, nil
}

// Keep writes a record: of the whole, which takes the place of all before it, or of a
// change. An error leaves the file with something older, until a whole is written.
func (f *File) Keep(b []byte, whole bool) (err error) {
	defer func() { f.stale = err != nil }()
	if whole {
		if err := f.Save(f.Name, record(b)); err != nil {
			return err
		}
		f.whole, f.changes = int64(HeadBytes+len(b)), 0
		return nil
	}
	if f.stale || f.whole == 0 {
		return errors.New("it lacks what came before")
	}
	if err := f.add(record(b)); err != nil {
		return err
	}
	f.changes += int64(HeadBytes + len(b))
	return nil
}

func (f *File) add(b []byte) (err error) {
	out, err := os.OpenFile(f.Name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
	}()
	if _, err := out.WriteAt(b, f.whole+f.changes); err != nil { // over what an earlier failure left
		return err
	}
	return out.Sync()
}

// Stale says that the file lacks something that was to be kept, so that only a whole can
// be kept next.
func (f *File) Stale() bool { return f.stale }

// Long says that a whole should be kept next: the file is stale, or its changes weigh more
// than the whole.
func (f *File) Long() bool { return f.stale || f.changes > max(f.whole, 1<<20) }

// SetAside moves the file away and returns where it is then, for whoever wants to look.
func (f *File) SetAside() string {
	kept := f.Name + ".damaged"
	if err := os.Rename(f.Name, kept); err != nil {
		return "not kept: " + err.Error()
	}
	f.whole, f.changes = 0, 0
	return kept
}
