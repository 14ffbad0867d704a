package kv

import (
	"context"
	"fmt"
	"time"
)

// Wrap puts before an error what was being tried.
func Wrap(err error, format string, a ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, a...), err)
}

// Sleep waits for d. If ctx ends before, it returns the context's error.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// PageSize is how many things are read at a time when there may be many: while a reader is
// open, the space of what it may see cannot be given back.
const PageSize = 256

// FirstError returns the first error that is not nil.
func FirstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// MaxPause is the longest pause of work in the background, which pauses after each step for as
// long as the step took.
const MaxPause = time.Second
