package main

import (
	"errors"
	"log/slog"

	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

// loggedError was logged already, and is not to be shown again.
type loggedError struct{ error }

func (e *loggedError) Unwrap() error { return e.error }

// stopError is of a server that was told to stop, and did not do so in good order.
type stopError struct{ error }

func (e *stopError) Unwrap() error { return e.error }

// logged logs the error that ends the program: where logs are read by programs, a
// line of another form would be lost or break them.
func logged(log *slog.Logger, err error) error {
	attrs := []any{"err", err}
	if h, ok := errors.AsType[*hint.Error](err); ok {
		attrs = append(attrs, "hint", h.Hint)
	}
	log.Error("the server ended with an error", attrs...)
	return &loggedError{err}
}
