package datadir

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// holdOpen is how the directory is held open. O_PATH also works for a directory that this
// user may enter but not read.
const holdOpen = unix.O_PATH

// procPath is a path of the directory by its open descriptor.
func (d *Dir) procPath() string { return fmt.Sprintf("/proc/self/fd/%d", d.dir.Fd()) }
