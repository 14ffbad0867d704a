package space

import (
	"os"

	"golang.org/x/sys/unix"
)

// someZeros are written at a time, to where a file has as large a piece.
var someZeros = make([]byte, 1<<20)

// writeZeros writes zeros to a part of a file, as far as that is a hole and within the file. Nobody
// else may write to it meanwhile.
func writeZeros(f *os.File, from, to int64) {
	page := int64(os.Getpagesize())
	from = (from + page - 1) / page * page // what is in the page of the end is not touched
	info, err := f.Stat()
	if err != nil {
		return
	}
	to = min((to+page-1)/page*page, info.Size()/page*page)
	if from, err = unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE); err != nil || from >= to {
		return
	}
	data, err := unix.Seek(int(f.Fd()), from, unix.SEEK_DATA)
	if err == nil {
		to = min(to, data)
	} else if err != unix.ENXIO { // which is that no data follows
		return
	}
	for from < to {
		piece := int64(len(someZeros))
		n, err := f.WriteAt(someZeros[:min(piece-from%piece, to-from)], from)
		if err != nil {
			return
		}
		from += int64(n)
	}
}

// startWriting has the system begin to write a part of a file to the disk. It is a hint: an error is
// the next sync's to report, to whoever has the file open then.
func startWriting(f *os.File, from, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), from, n, unix.SYNC_FILE_RANGE_WRITE)
}
