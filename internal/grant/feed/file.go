package feed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
)

// file keeps the last good state: a whole frame, and deltas behind it, each as it was
// received. Before each frame stand its length and a checksum of that, so that a frame
// that a crash cut off is told from one that is damaged.
type file struct {
	name string
	save func(name string, data []byte) error // replaces a file as a whole

	whole, deltas int64 // bytes of either
	stale         bool  // the file lacks what is in force
}

const recordHead = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func record(b []byte) []byte {
	out := make([]byte, 0, recordHead+len(b))
	out = binary.BigEndian.AppendUint32(out, uint32(len(b)))
	out = binary.BigEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
	return append(out, b...)
}

// records returns the frames of a file, and how many of its bytes they take: the rest
// is one that was cut off.
func records(b []byte) (frames [][]byte, taken int, err error) {
	for taken+recordHead <= len(b) {
		n := binary.BigEndian.Uint32(b[taken:])
		if binary.BigEndian.Uint32(b[taken+4:]) != crc32.Checksum(b[taken:taken+4], castagnoli) {
			return frames, taken, fmt.Errorf("no frame begins at byte %d: %w", taken, ErrDamaged)
		}
		if uint64(n) > uint64(len(b)-taken-recordHead) {
			return frames, taken, nil
		}
		from := taken + recordHead
		taken = from + int(n)
		frames = append(frames, b[from:taken])
	}
	return frames, taken, nil
}

// read returns the state that the file has, nil when there is none. cut says that the
// end of the file was cut off, which happens when a machine dies while it is written;
// what was cut off had not been in force.
func (f *file) read(step func(*held, []byte) (*held, error)) (state *held, cut bool, err error) {
	b, err := os.ReadFile(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, err
	}
	frames, taken, err := records(b)
	if err != nil {
		return nil, false, err
	}
	for i, frame := range frames {
		if state, err = step(state, frame); err != nil {
			return nil, false, fmt.Errorf("frame %d: %w", i+1, err)
		}
	}
	if state == nil {
		return nil, false, fmt.Errorf("it has no frame: %w", ErrDamaged)
	}
	if cut = taken < len(b); cut {
		if err := os.Truncate(f.name, int64(taken)); err != nil {
			f.stale = true
		}
	}
	f.whole = int64(recordHead + len(frames[0]))
	f.deltas = int64(taken) - f.whole
	return state, cut, nil
}

// keep writes what has come into force. An error leaves the file with something older,
// until a whole state is written.
func (f *file) keep(b []byte, whole bool) (err error) {
	defer func() { f.stale = err != nil }()
	if whole {
		if err := f.save(f.name, record(b)); err != nil {
			return err
		}
		f.whole, f.deltas = int64(recordHead+len(b)), 0
		return nil
	}
	if f.stale || f.whole == 0 {
		return errors.New("it lacks what came before")
	}
	if err := f.add(record(b)); err != nil {
		return err
	}
	f.deltas += int64(recordHead + len(b))
	return nil
}

func (f *file) add(b []byte) (err error) {
	out, err := os.OpenFile(f.name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
	}()
	if _, err := out.WriteAt(b, f.whole+f.deltas); err != nil { // over what an earlier failure left
		return err
	}
	return out.Sync()
}

// long says that the file should begin anew, with a whole state.
func (f *file) long() bool { return f.stale || f.deltas > max(f.whole, 1<<20) }

// damaged moves the file aside and returns where it is.
func (f *file) damaged() string {
	kept := f.name + ".damaged"
	if err := os.Rename(f.name, kept); err != nil {
		return "not kept: " + err.Error()
	}
	f.whole, f.deltas = 0, 0
	return kept
}
