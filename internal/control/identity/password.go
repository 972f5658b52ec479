package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"sluice/internal/fault"
)

// The bounds of a password. Beyond them there is one rule, that it must not be easy
// to guess; which characters it is made of is nobody's business (NIST SP 800-63B).
const (
	MinPasswordCharacters = 12
	MaxPasswordBytes      = 256
)

//go:embed common.txt
var commonText string

// cost is what one hash takes (RFC 9106).
type cost struct {
	memoryKiB, passes uint32
	lanes             uint8
}

// defaultCost is the least that OWASP advises for argon2id.
var defaultCost = cost{memoryKiB: 19 << 10, passes: 2, lanes: 1}

const hashBytes, saltBytes = 32, 16

// gate bounds how many hashes are worked out at once, and so their memory, and how
// many callers wait for one.
type gate struct{ slots, queue chan struct{} }

func newGate(slots, waiting int) *gate {
	return &gate{slots: make(chan struct{}, slots), queue: make(chan struct{}, slots+waiting)}
}

// do calls f in its turn. Its error is Unavailable when too many wait already.
func (g *gate) do(ctx context.Context, f func()) error {
	select {
	case g.queue <- struct{}{}:
		defer func() { <-g.queue }()
	default:
		return fault.New(fault.Unavailable, "too many people log in at this moment: try again in some seconds")
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-ctx.Done():
		return fmt.Errorf("wait to check a password: %w", ctx.Err())
	}
	f()
	return nil
}

// hashPassword returns the PHC string of a password with a new salt.
func hashPassword(c cost, password string) string {
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	key := argon2.IDKey([]byte(password), salt, c.passes, c.memoryKiB, c.lanes, hashBytes)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memoryKiB, c.passes, c.lanes, b64(salt), b64(key))
}

// verifyPassword says whether a password has that hash, and whether the hash could be
// read: one that takes more than we would ever ask for is nobody's.
func verifyPassword(hash, password string) (right, readable bool) {
	c, salt, want, ok := parseHash(hash)
	if !ok {
		return false, false
	}
	got := argon2.IDKey([]byte(password), salt, c.passes, c.memoryKiB, c.lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, true
}

func parseHash(s string) (c cost, salt, key []byte, ok bool) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return c, nil, nil, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memoryKiB, &c.passes, &c.lanes); n != 3 || err != nil ||
		parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", c.memoryKiB, c.passes, c.lanes) {
		return c, nil, nil, false
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	key, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	ok = err1 == nil && err2 == nil && len(salt) >= 8 && len(salt) <= 64 && len(key) >= 16 && len(key) <= 64 &&
		c.memoryKiB >= 8 && c.memoryKiB <= 256<<10 && c.passes >= 1 && c.passes <= 16 && c.lanes >= 1 && c.lanes <= 8
	return c, salt, key, ok
}

// CheckPassword returns what is wrong with a new password of somebody, as a fault of
// kind Invalid. Neither it nor a part of it is in the error.
func CheckPassword(login, password string) error {
	switch {
	case !utf8.ValidString(password):
		return fault.New(fault.Invalid, "the password is not text in UTF-8")
	case utf8.RuneCountInString(password) < MinPasswordCharacters:
		return fault.New(fault.Invalid, "the password has fewer than %d characters: some words in a row are easy to keep in mind", MinPasswordCharacters)
	case len(password) > MaxPasswordBytes:
		return fault.New(fault.Invalid, "the password has more than %d bytes", MaxPasswordBytes)
	case strength(login, password) < 8:
		return fault.New(fault.Invalid, "the password is one of the first that somebody would guess: it is made of common words, names, years, repetitions or keys in a row")
	}
	return nil
}

// rows are characters that people type in a row.
var rows = []string{"abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn", "!@#$%^&*()", "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0"}

// strength counts how much of a password has to be guessed: characters, where each
// common word, name, year, repetition and row is worth two, and only once.
func strength(login, password string) int {
	s := strings.ToLower(password)
	best := weigh(login, s)
	return min(best, weigh(login, strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i").Replace(s)))
}

func weigh(login, s string) int {
	words := append(strings.Fields(commonText), strings.FieldsFunc(strings.ToLower(login), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })...)
	words = slices.DeleteFunc(words, func(w string) bool { return len(w) < 3 })
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	s = period(s)
	seen, total := map[string]bool{}, 0
	for s != "" {
		n := piece(words, s)
		if n == 0 {
			_, n = utf8.DecodeRuneInString(s)
			total++
		} else if !seen[s[:n]] {
			seen[s[:n]] = true
			total += 2
		}
		s = s[n:]
	}
	return total
}

// period returns the part that a password repeats, such as "abcd" of "abcdabcdabcd".
func period(s string) string {
	for n := 1; n <= len(s)/2; n++ {
		if strings.Repeat(s[:n], len(s)/n+1)[:len(s)] == s {
			return s[:n]
		}
	}
	return s
}

// piece returns how many bytes at the beginning are easy to guess together.
func piece(words []string, s string) int {
	longest := 0
	for _, w := range words {
		if strings.HasPrefix(s, w) {
			longest = len(w)
			break
		}
	}
	if len(s) >= 4 && (s[:2] == "18" || s[:2] == "19" || s[:2] == "20") && strings.Trim(s[2:4], "0123456789") == "" {
		longest = max(longest, 4)
	}
	same := len(s) - len(strings.TrimLeft(s, s[:1]))
	if same >= 3 {
		longest = max(longest, same)
	}
	for _, row := range rows {
		longest = max(longest, along(row, s), along(reverse(row), s))
	}
	return longest
}

// along returns how far a row is typed, 0 for less than three keys.
func along(row, s string) int {
	at := strings.IndexByte(row, s[0])
	if at < 0 {
		return 0
	}
	n := 0
	for n < len(s) && at+n < len(row) && row[at+n] == s[n] {
		n++
	}
	if n < 3 {
		return 0
	}
	return n
}

func reverse(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}
