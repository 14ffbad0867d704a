package admin

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// If even an account or a removal cannot be written, the reason is not the free space that a
// setting keeps.
func TestFullDiskHints(t *testing.T) {
	for name, tt := range map[string]struct {
		err   error
		hints []string
	}{
		"an account": {
			fmt.Errorf("%w: %w", auth.ErrUnavailable, &pin.DiskFullError{Free: 10 << 20, Kept: 256 << 20, Upkeep: true}),
			[]string{"10 MiB of the disk are free, and this is not done below 256 MiB", "free some space"},
		},
		"a pin": {
			fmt.Errorf("add: %w", &pin.DiskFullError{Free: 500 << 20, Kept: 1 << 30}),
			[]string{"500 MiB of the disk are free, and store.min_free_space keeps 1.0 GiB free"},
		},
	} {
		status, f := new(Server).failureOf(tt.err)
		for _, want := range tt.hints {
			if status != http.StatusInsufficientStorage || !strings.Contains(f.Error.Hint, want) {
				t.Errorf("%s: %d, hint %q, want %q", name, status, f.Error.Hint, want)
			}
		}
	}
	if _, f := new(Server).failureOf(auth.ErrUnavailable); f.Error.Hint != "" {
		t.Errorf("hint of something else: %q", f.Error.Hint)
	}
}
