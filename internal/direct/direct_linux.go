package direct

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// StartWriting has the system begin to write a file to the disk. It is a hint: a later sync reports
// what is wrong.
func StartWriting(f *os.File) {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}

const (
	// unit is what the length of a write to the disk itself must be a multiple of. No disk and no
	// file system in use asks for more.
	unit = 4 << 10
	// least is the shortest piece that is written so: each is waited for.
	least = 1 << 20
)

// Writer writes a file. Long pieces go from the program's memory to the disk, if the file system
// can do that, and the piece and the place that it is written to begin at a page. Otherwise the system
// first copies them to memory of its own. That takes twice the processor time of all else that a backup
// does with them, and the memory of files that the server reads. A piece that was written is not durable
// before a sync, in either way.
type Writer struct{ *os.File }

func (w Writer) Write(b []byte) (n int, err error) {
	if long := len(b) / unit * unit; long >= least && w.direct(true) {
		n, err = w.File.Write(b[:long])
		if errors.Is(err, unix.EINVAL) { // it does not take a piece from this address, or to this place in the file
			err = nil
		}
		if !w.direct(false) && err == nil {
			err = errors.New("the system does not end direct writes")
		}
	}
	if err != nil {
		return n, err
	}
	rest, err := w.File.Write(b[n:])
	return n + rest, err
}

// direct switches direct writes on or off. ok is false if the file system has none.
func (w Writer) direct(on bool) (ok bool) {
	raw, err := w.File.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		if err != nil {
			return
		}
		if flags &^= unix.O_DIRECT; on {
			flags |= unix.O_DIRECT
		}
		_, err = unix.FcntlInt(fd, unix.F_SETFL, flags)
		ok = err == nil
	})
	return ok && err == nil
}

// takeLarge has the system give memory in large pages, of which fewer have to be asked for. It is a hint.
func takeLarge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
