package wire

import (
	"bytes"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestRequestHeaderAgreesWithKmsg(t *testing.T) {
	eachVersion(func(key, version int16, response bool) {
		if response {
			return
		}
		m := kmsg.RequestForKey(key)
		m.SetVersion(version)
		for _, clientID := range []string{"", "app"} {
			var opts []kmsg.RequestFormatterOpt
			if clientID != "" {
				opts = append(opts, kmsg.FormatterClientID(clientID))
			}
			frame := kmsg.NewRequestFormatter(opts...).AppendRequest(nil, m, 42)[4:]
			h, body, err := ParseRequestHeader(frame)
			want := RequestHeader{key, version, 42, clientID, clientID != ""}
			if err != nil || h != want || !bytes.Equal(body, m.AppendTo(nil)) {
				t.Errorf("got %+v %x %v, want %+v of frame %x", h, body, err, want, frame)
			}
			if got := append(AppendRequestHeader(nil, h), body...); !bytes.Equal(got, frame) {
				t.Errorf("written again %x, want %x", got, frame)
			}
		}
	})
}

func TestRequestHeaderRefuses(t *testing.T) {
	for _, c := range []struct {
		name, frame string
		err         error
		want        RequestHeader
	}{
		{"empty", "", ErrHeader, RequestHeader{}},
		{"cut off before the correlation id", "\x00\x12\x00\x03\x00", ErrHeader, RequestHeader{APIKey: 18, APIVersion: 3}},
		{"without client id", "\x00\x12\x00\x03\x00\x00\x00\x07", ErrHeader, RequestHeader{18, 3, 7, "", false}},
		{"client id beyond the frame", "\x00\x12\x00\x03\x00\x00\x00\x07\x00\x02a", ErrHeader, RequestHeader{18, 3, 7, "", false}},
		{"negative client id", "\x00\x12\x00\x03\x00\x00\x00\x07\xff\xfe\x00", ErrHeader, RequestHeader{18, 3, 7, "", false}},
		{"tag count of two to the 26", "\x00\x12\x00\x03\x00\x00\x00\x07\xff\xff\x80\x80\x80\x20\x00\x00", ErrHeader, RequestHeader{18, 3, 7, "", false}},
		{"unknown key", "\x03\xe8\x00\x03\x00\x00\x00\x07\xff\xff", ErrUnknownAPI, RequestHeader{1000, 3, 7, "", false}},
	} {
		if h, body, err := ParseRequestHeader([]byte(c.frame)); !errors.Is(err, c.err) || h != c.want || body != nil {
			t.Errorf("%s: got %+v %x %v", c.name, h, body, err)
		}
	}
	// A version above ours still has a legible header, so that it can be answered.
	h, body, err := ParseRequestHeader([]byte("\x00\x12\x00\x63\x00\x00\x00\x07\x00\x01a\x01\x09\x00body"))
	if err != nil || h.APIVersion != 99 || h.ClientID != "a" || string(body) != "body" {
		t.Errorf("got %+v %q %v", h, body, err)
	}
}

func TestRequestHeaderParseKeepsTheClientID(t *testing.T) {
	frame := AppendRequestHeader(nil, RequestHeader{0, 9, 1, "a long name of a client", true})
	var h RequestHeader
	if n := testing.AllocsPerRun(20, func() {
		if _, err := h.Parse(frame); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestResponseHeader(t *testing.T) {
	for _, c := range []struct {
		key, version int16
		want         string
	}{
		{18, 4, "\x00\x00\x00\x05"}, {3, 8, "\x00\x00\x00\x05"}, {3, 9, "\x00\x00\x00\x05\x00"}, {17, 1, "\x00\x00\x00\x05"},
	} {
		got := AppendResponseHeader(nil, c.key, c.version, 5)
		id, body, err := ParseResponseHeader(c.key, c.version, append(got, "rest"...))
		if string(got) != c.want || id != 5 || string(body) != "rest" || err != nil {
			t.Errorf("key %d v%d: got %x, %d %q %v", c.key, c.version, got, id, body, err)
		}
	}
	for _, frame := range []string{"", "\x00\x00\x00", "\x00\x00\x00\x05", "\x00\x00\x00\x05\x01\x01", "\x00\x00\x00\x05\xff\xff\xff\xff\x0f\x00"} {
		if _, _, err := ParseResponseHeader(3, 9, []byte(frame)); !errors.Is(err, ErrHeader) {
			t.Errorf("%x: got %v", frame, err)
		}
	}
}

func FuzzRequestHeader(f *testing.F) {
	f.Add([]byte("\x00\x12\x00\x03\x00\x00\x00\x07\x00\x01a\x01\x09\x00body"))
	f.Add([]byte("\x00\x03\x00\x01\x00\x00\x00\x07\xff\xff"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, body, err := ParseRequestHeader(frame)
		if err == nil {
			h2, body2, err := ParseRequestHeader(append(AppendRequestHeader(nil, h), body...))
			if err != nil || h2 != h || !bytes.Equal(body, body2) {
				t.Fatalf("%+v %x becomes %+v %x %v", h, body, h2, body2, err)
			}
		}
		ParseResponseHeader(h.APIKey, h.APIVersion, frame)
	})
}

func FuzzResponseHeader(f *testing.F) {
	f.Add(int16(3), int16(12), []byte("\x00\x00\x00\x05\x01\x00\x02ab"))
	f.Add(int16(18), int16(4), []byte("\x00\x00\x00\x05\x00"))
	f.Add(int16(12), int16(4), []byte("\x00\x00\x00\x05\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, key, version int16, frame []byte) {
		id, body, err := ParseResponseHeader(key, version, frame)
		if err != nil {
			if !errors.Is(err, ErrHeader) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.HasSuffix(frame, body) {
			t.Fatalf("body %x is not the end of %x", body, frame)
		}
		again, rest, err := ParseResponseHeader(key, version, append(AppendResponseHeader(nil, key, version, id), body...))
		if err != nil || again != id || !bytes.Equal(rest, body) {
			t.Fatalf("%d %x becomes %d %x %v", id, body, again, rest, err)
		}
	})
}
