package space_test

import (
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// What the system refuses is not the files' fault.
func TestOpenErrorsOfTheSystem(t *testing.T) {
	for _, err := range []error{
		&fs.PathError{Op: "open", Path: "MANIFEST", Err: syscall.EACCES},
		fmt.Errorf("Opening file: %q err: %v", "000001.sst", syscall.EMFILE),
	} {
		if got := space.OpenError(err); got != err {
			t.Errorf("%v becomes %v", err, got)
		}
	}
}
