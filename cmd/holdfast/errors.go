package main

import (
	"errors"
	"log/slog"
	"strings"
)

// hintedError is an error with what to do about it, shown on a line of its own.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// hinted adds a hint to an error.
func hinted(err error, hint string) error { return &hintedError{err, hint} }

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
	if h, ok := errors.AsType[*hintedError](err); ok {
		attrs = append(attrs, "hint", h.hint)
	}
	log.Error("the server ended with an error", attrs...)
	return &loggedError{err}
}

// nearest gives the candidate that s is most likely a misspelling of, or "".
func nearest(s string, candidates []string) string {
	best, bestDistance := "", 1+len(s)/4 // a typing error or two in a short word
	for _, c := range candidates {
		if d := editDistance(strings.ToLower(s), strings.ToLower(c)); d < bestDistance || best == "" && d == bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// editDistance counts the bytes to insert, delete or replace to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
