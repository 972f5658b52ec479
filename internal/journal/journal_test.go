package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func newFile(t *testing.T) *File {
	return &File{Name: filepath.Join(t.TempDir(), "state"), Save: func(name string, b []byte) error { return os.WriteFile(name, b, 0o600) }}
}

// read opens a file again and returns its records.
func read(t *testing.T, f *File) (again *File, got []string, cut bool, err error) {
	t.Helper()
	again = &File{Name: f.Name, Save: f.Save}
	cut, err = again.Read(func(b []byte) error { got = append(got, string(b)); return nil })
	return again, got, cut, err
}

func keep(t *testing.T, f *File, whole bool, text string) {
	t.Helper()
	if err := f.Keep([]byte(text), whole); err != nil {
		t.Fatal(err)
	}
}

func TestChangesFollowTheWhole(t *testing.T) {
	f := newFile(t)
	if _, got, _, err := read(t, f); err != nil || got != nil {
		t.Fatalf("without a file: %q, %v", got, err)
	}
	if err := f.Keep([]byte("a change of nothing"), false); err == nil {
		t.Fatal("a change is kept without a whole")
	}
	keep(t, f, true, "one")
	keep(t, f, false, "two")
	f, got, cut, err := read(t, f)
	if err != nil || cut || !slices.Equal(got, []string{"one", "two"}) {
		t.Fatalf("%q, cut off %v, %v", got, cut, err)
	}
	keep(t, f, false, "three") // by the next process
	if _, got, _, _ := read(t, f); !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Fatalf("%q", got)
	}
	keep(t, f, true, "anew")
	if _, got, _, _ := read(t, f); !slices.Equal(got, []string{"anew"}) {
		t.Fatalf("%q", got)
	}
}

func TestAFileThatGrowsBeginsAnew(t *testing.T) {
	f := newFile(t)
	keep(t, f, true, "small")
	for range 64 {
		if f.Long() {
			t.Fatal("it is long already")
		}
		keep(t, f, false, strings.Repeat("x", 16<<10))
	}
	if !f.Long() {
		t.Error("a MiB of changes behind five bytes is not long")
	}
	keep(t, f, true, "small")
	if f.Long() {
		t.Error("it is long after it began anew")
	}
}

func TestWhatIsCutOffAndWhatIsDamaged(t *testing.T) {
	f := newFile(t)
	keep(t, f, true, "one")
	keep(t, f, false, "two")
	good, err := os.ReadFile(f.Name)
	if err != nil {
		t.Fatal(err)
	}
	for at := 1; at < len(good); at++ {
		if err := os.WriteFile(f.Name, good[:at], 0o600); err != nil {
			t.Fatal(err)
		}
		again, got, cut, err := read(t, f)
		switch whole := HeadBytes + len("one"); {
		case at < whole:
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("%d bytes: %q, %v", at, got, err)
			}
		case err != nil || !slices.Equal(got, []string{"one"}) || cut != (at > whole):
			t.Errorf("%d bytes: %q, cut off %v, %v", at, got, cut, err)
		default:
			keep(t, again, false, "after")
			if _, got, _, err := read(t, f); err != nil || !slices.Equal(got, []string{"one", "after"}) {
				t.Errorf("%d bytes, and a change: %q, %v", at, got, err)
			}
		}
	}
	bad := bytes.Clone(good)
	bad[1] ^= 1
	if err := os.WriteFile(f.Name, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	again, _, _, err := read(t, f)
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("a bit of a length: %v", err)
	}
	if kept, err := os.ReadFile(again.SetAside()); err != nil || !bytes.Equal(kept, bad) {
		t.Errorf("set aside: %v", err)
	}
	if _, got, _, err := read(t, f); err != nil || got != nil {
		t.Errorf("after that: %q, %v", got, err)
	}
}

// Damage of the last change costs that change, damage before it everything.
func TestDamageInEachPlace(t *testing.T) {
	f := newFile(t)
	known := []string{"the whole", "a change", "the last one"}
	ends := []int{} // of records
	for i, text := range known {
		keep(t, f, i == 0, text)
		b, err := os.ReadFile(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, len(b))
	}
	good, err := os.ReadFile(f.Name)
	if err != nil {
		t.Fatal(err)
	}
	look := func(b []byte) (again *File, got []string, cut bool, err error) {
		t.Helper()
		if err := os.WriteFile(f.Name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		again = &File{Name: f.Name, Save: f.Save}
		cut, err = again.Read(func(b []byte) error {
			if !slices.Contains(known, string(b)) {
				return ErrDamaged
			}
			got = append(got, string(b))
			return nil
		})
		return again, got, cut, err
	}
	for at := range good {
		b := bytes.Clone(good)
		b[at] ^= 0x10
		again, got, cut, err := look(b)
		if at < ends[1] {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d: %q, %v", at, got, err)
			}
			continue
		}
		if err != nil || !cut || !slices.Equal(got, known[:2]) {
			t.Fatalf("byte %d of the last one: %q, cut off %v, %v", at, got, cut, err)
		}
		keep(t, again, false, "after")
		if _, got, cut, err := read(t, f); err != nil || cut || !slices.Equal(got, []string{known[0], known[1], "after"}) {
			t.Errorf("byte %d, and a change: %q, %v", at, got, err)
		}
	}
	for name, zeros := range map[string]int{"zeros in its place": ends[2] - ends[1], "more zeros": 4096} {
		b := append(bytes.Clone(good[:ends[1]]), make([]byte, zeros)...)
		if _, got, cut, err := look(b); err != nil || !cut || !slices.Equal(got, known[:2]) {
			t.Errorf("%s: %q, cut off %v, %v", name, got, cut, err)
		}
	}
	both := bytes.Clone(good[:len(good)-1]) // a damaged one, and one that was cut off behind it
	both[ends[1]-1] ^= 1
	if _, got, _, err := look(both); !errors.Is(err, ErrDamaged) {
		t.Errorf("two of them: %q, %v", got, err)
	}
	other := errors.New("another reason")
	if _, err := (&File{Name: f.Name}).Read(func([]byte) error { return other }); !errors.Is(err, other) {
		t.Errorf("%v", err)
	}
}

func TestWhatCouldNotBeWritten(t *testing.T) {
	f := newFile(t)
	keep(t, f, true, "one")
	if err := os.Rename(f.Name, f.Name+".away"); err != nil {
		t.Fatal(err)
	}
	if err := f.Keep([]byte("two"), false); err == nil {
		t.Fatal("kept in a file that is not there")
	}
	if err := os.Rename(f.Name+".away", f.Name); err != nil {
		t.Fatal(err)
	}
	if err := f.Keep([]byte("three"), false); err == nil || !f.Stale() || !f.Long() {
		t.Fatalf("a change is kept behind one that is not: %v", err)
	}
	keep(t, f, true, "all three")
	keep(t, f, false, "four")
	if _, got, _, err := read(t, f); err != nil || f.Stale() || !slices.Equal(got, []string{"all three", "four"}) {
		t.Errorf("%q, %v", got, err)
	}
}

// FuzzRecords: a file is refused, or its records are written again as they were.
func FuzzRecords(f *testing.F) {
	f.Add(append(record([]byte("one")), record(nil)...))
	f.Add(record([]byte("cut"))[:9])
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		records, taken, err := split(b)
		var again []byte
		for _, r := range records {
			again = append(again, record(r)...)
		}
		if taken > len(b) || !bytes.Equal(again, b[:taken]) {
			t.Fatalf("%d records of %d bytes, %v", len(records), taken, err)
		}
	})
}
