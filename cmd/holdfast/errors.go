package main

import (
	"errors"
	"log/slog"

	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

// loggedError was logged already, and is not printed again.
type loggedError struct{ error }

func (e *loggedError) Unwrap() error { return e.error }

// stopError is the error of a server that did not stop cleanly.
type stopError struct{ error }

func (e *stopError) Unwrap() error { return e.error }

// logged logs the error that ends the program. With JSON logs, programs read standard
// error: a line in another form would be lost or would break them.
func logged(log *slog.Logger, err error) error {
	attrs := []any{"err", err}
	if h, ok := errors.AsType[*hint.Error](err); ok {
		attrs = append(attrs, "hint", h.Hint)
	}
	log.Error("the server ended with an error", attrs...)
	return &loggedError{err}
}
