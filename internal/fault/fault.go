// Package fault is the small closed set of error kinds that cross Sluice's
// rooms: a message fit for the customer, apart from the cause that only the log
// sees. Its main type is Error. It knows no protocol: one table elsewhere turns
// kinds into HTTP problems, one into Kafka error codes.
package fault

import (
	"errors"
	"fmt"
)

// Kind is what sort of failure an error is.
type Kind uint8

// The kinds. Internal is the kind of every error that names no other.
const (
	Internal Kind = iota
	Invalid
	NotFound
	Conflict
	Denied
	Limited
	Unavailable
)

func (k Kind) String() string {
	return [...]string{"internal", "invalid", "not found", "conflict", "denied", "limited", "unavailable"}[k]
}

// Error is an error with a kind.
type Error struct {
	Kind Kind
	// Message is fit for the customer.
	Message string
	// Cause is for the log; may be nil.
	Cause error
}

func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New returns an error of a kind whose text is fit for the customer. Use Wrap to keep a cause.
func New(kind Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), Cause: nil}
}

// Wrap returns an error of a kind with a message for the customer and a cause
// for the log.
func Wrap(kind Kind, cause error, format string, args ...any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// KindOf returns the kind of the first Error in err's chain, Internal when
// there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Message returns what the customer may read of err.
func Message(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return "internal error"
}
