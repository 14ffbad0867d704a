//go:build !linux

package datadir

import "golang.org/x/sys/unix"

// holdOpen is how the directory is held open.
const holdOpen = unix.O_RDONLY

// procPath is the path of the directory: only Linux has paths by open descriptors for
// directories. So elsewhere a path that is too long for a socket is an error.
func (d *Dir) procPath() string { return d.Shown }
