package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// wrap says what was being tried.
func wrap(err error, format string, a ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, a...), err)
}

// sleep waits for a time, or until ctx ends, and then gives its error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pageSize is how many things a walk over many reads at a time: what Badger
// keeps open for a reader cannot be given back meanwhile.
const pageSize = 256

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// maxPause bounds how long work that may wait gives way: it pauses as long as each of its
// steps took, and no longer than this.
const maxPause = time.Second
