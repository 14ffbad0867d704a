package space

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// ErrDamaged: Badger cannot read its files. Nothing in them was changed.
var ErrDamaged = diskerr.ErrDamaged

// Inspect looks for damage in a database that is not open, and changes nothing. It reads all tables,
// but not the blocks. damaged is how many files of the value log are known to be damaged. A directory
// that does not exist has no damage. Errors: ErrDamaged; the context's; the system's.
func Inspect(ctx context.Context, dir string) (damaged int, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err := checkManifest(dir); err != nil {
		return 0, err
	}
	if err := checkTables(ctx, dir); err != nil {
		return 0, err
	}
	damaged, _, err = damagedLogs(dir)
	return damaged, err
}

// checkManifest refuses a database without a MANIFEST, the list of its tables. Badger would make a
// new list, and then delete every table that is not on it. Errors: ErrDamaged.
func checkManifest(dir string) error {
	_, err := os.Lstat(filepath.Join(dir, badger.ManifestFilename))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		// Badger makes the list before any of these.
		if ext := filepath.Ext(e.Name()); ext == ".sst" || ext == ".mem" || ext == ".vlog" {
			return fmt.Errorf("%w: %s has %s and no %s", ErrDamaged, dir, e.Name(), badger.ManifestFilename)
		}
	}
	return nil
}

// openError makes an error of opening Badger an ErrDamaged, unless it comes from the system. Badger
// turns some errors of the system into text.
func openError(err error) error {
	for _, system := range []syscall.Errno{
		syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT,
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN,
	} {
		if errors.Is(err, system) || strings.Contains(err.Error(), system.Error()) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}
