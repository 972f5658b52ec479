package handler

import (
	"encoding/binary"
	"regexp"
	"strings"
	"testing"
	"time"
)

// FuzzBatchFault: whatever a producer calls records, a look at the headers of
// its batches ends, finds the first batch's bits, and never reads outside.
func FuzzBatchFault(f *testing.F) {
	one := func(attributes byte, length uint32, magic byte) []byte {
		b := make([]byte, batchHeaderBytes)
		binary.BigEndian.PutUint32(b[8:], length)
		b[batchMagicOffset], b[batchAttributesOffset+1] = magic, attributes
		return b
	}
	for _, seed := range [][]byte{
		nil, one(0, batchHeaderBytes-12, 2), one(batchControl, batchHeaderBytes-12, 2), one(0, 1<<32-1, 2), one(0, 1<<31-1, 2), one(0, 0, 2), one(0, 1<<31, 2),
		append(one(0, batchHeaderBytes-12, 2), one(batchTransactional, batchHeaderBytes-12, 2)...), one(batchControl, 49, 1), one(0, batchHeaderBytes-12, 2)[:60],
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, records []byte, inTransaction bool) {
		got := batchFault(records, inTransaction)
		if len(records) < batchHeaderBytes || records[batchMagicOffset] != 2 {
			if got != nil {
				t.Errorf("refused for %q, and is no batch", got.rule)
			}
			return
		}
		attributes := binary.BigEndian.Uint16(records[batchAttributesOffset:])
		if want := attributes&batchControl != 0 || attributes&batchTransactional != 0 && !inTransaction; want && got == nil {
			t.Errorf("attributes %b pass", attributes)
		}
	})
}

// FuzzPattern: a regular expression of a client is refused or compiled in
// bounded time, and what it matches as a whole is what Go's own anchors say.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{".*", "orders"}, {"a|ab", "ab"}, {`\Qa`, "a"}, {"(?s).*", "a\nb"}, {"^", ""}, {"((((a{9}){9}){9}){9}){9}", "a"}, {"(a*)*", "aaaa"}, {"[^\\x00-\\x{10FFFF}]", "x"}, {"(?i)ORDERS", "orders"}, {"a$|b", "b"}, {"(?:", "x"}, {`\pN+`, "12"}, {strings.Repeat("a?", 50) + strings.Repeat("a", 50), strings.Repeat("a", 50)},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, expression, name string) {
		if len(name) > 300 {
			return // no topic is called that
		}
		began := time.Now()
		re, err := compilePattern(expression)
		if err != nil {
			return
		}
		got := matchesWhole(re, name)
		if took := time.Since(began); took > 10*time.Second {
			t.Fatalf("took %v", took)
		}
		if anchored, err := regexp.Compile(`\A(?:` + expression + `)\z`); err == nil && !strings.Contains(expression, `\Q`) {
			if want := anchored.MatchString(name); got != want {
				t.Errorf("matches %q: %v, anchored %v", name, got, want)
			}
		}
	})
}
