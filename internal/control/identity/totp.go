package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // RFC 6238 and every authenticator; as a MAC it is sound
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// What authenticators take without being asked: HMAC-SHA-1, six digits, 30 seconds.
const (
	totpStep      = 30 * time.Second
	totpDigits    = 6
	totpKeyBytes  = 20
	totpSkew      = 1 // steps before and after that count, for clocks that are off
	recoveryCodes = 10
)

var base32NoPadding = base32.StdEncoding.WithPadding(base32.NoPadding)

// hotp is the code of a counter (RFC 4226 §5.3).
func hotp(key []byte, counter int64) string {
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, counter)
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", totpDigits, n%1_000_000)
}

// totpStepOf returns the time step that a code is of, if it is one of now and newer
// than the last that was used: no code works twice (RFC 6238 §5.2).
func totpStepOf(key []byte, code string, now time.Time, last int64) (int64, bool) {
	current := now.Unix() / int64(totpStep/time.Second)
	found, ok := int64(0), false
	for step := current - totpSkew; step <= current+totpSkew; step++ {
		if subtle.ConstantTimeCompare([]byte(hotp(key, step)), []byte(code)) == 1 && step > last && !ok {
			found, ok = step, true
		}
	}
	return found, ok
}

// totpURI is what authenticators read from a picture.
func totpURI(issuer, login string, key []byte) string {
	q := url.Values{"secret": {base32NoPadding.EncodeToString(key)}, "issuer": {issuer}}
	return "otpauth://totp/" + url.PathEscape(issuer+":"+login) + "?" + strings.ReplaceAll(q.Encode(), "+", "%20")
}

// newRecoveryCodes are 80 bits each, in groups of four.
func newRecoveryCodes() []string {
	out := make([]string, recoveryCodes)
	for i := range out {
		b := make([]byte, 10)
		rand.Read(b)
		s := strings.ToLower(base32NoPadding.EncodeToString(b))
		out[i] = s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:]
	}
	return out
}

// plainCode is a code as it is compared, however it was typed.
func plainCode(code string) string {
	return strings.NewReplacer(" ", "", "-", "").Replace(strings.ToLower(strings.TrimSpace(code)))
}
