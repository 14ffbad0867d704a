package kv

import (
	"context"
	"fmt"
	"time"
)

// Wrap says what was being tried.
func Wrap(err error, format string, a ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, a...), err)
}

// Sleep waits for a time, or until ctx ends, and then gives its error.
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

// PageSize is how many things a walk over many reads at a time: what Badger
// keeps open for a reader cannot be given back meanwhile.
const PageSize = 256

func FirstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// MaxPause bounds how long work that may wait gives way: it pauses as long as each of its
// steps took, and no longer than this.
const MaxPause = time.Second
