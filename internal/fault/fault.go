// Package fault gives errors a kind, for whoever has to answer them, and a message
// that its reader may see, apart from the cause, which is for the log. Its main type
// is Error. It knows neither HTTP nor Kafka; one table each turns kinds into their
// codes.
package fault

import (
	"errors"
	"fmt"
)

// Kind says what an error means to whoever asked.
type Kind string

// The kinds. There are no others.
const (
	Invalid     Kind = "invalid"     // what was asked for makes no sense; asking again does not help
	NotFound    Kind = "not found"   // there is no such thing, or not for this actor
	Conflict    Kind = "conflict"    // it does not fit to what is there; look again
	Denied      Kind = "denied"      // somebody else may
	Limited     Kind = "limited"     // too much or too often; later it may be possible
	Unavailable Kind = "unavailable" // something that is needed is away; later it may be possible
	Internal    Kind = "internal"    // our mistake
)

// Error is an error with a kind.
type Error struct {
	Kind Kind
	// Message says what was wrong and what to do, and may be shown to whoever asked.
	Message string
	// Cause is for the log only; nil where the message says all.
	Cause error
}

// Error returns message and cause.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New returns an error of a kind; the message is formatted as by fmt.Sprintf.
func New(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap is New with a cause, which the message must not repeat.
func Wrap(kind Kind, cause error, format string, args ...any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// KindOf returns the kind of an error: that of the outermost Error in its chain,
// Internal for all others. It is "" for nil.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Kind
	}
	return Internal
}

// MessageOf returns what may be shown of an error to whoever asked.
func MessageOf(err error) string {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e) && e.Kind != Internal:
		return e.Message
	}
	return "something went wrong here; the log says what"
}
