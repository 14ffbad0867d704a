package space

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// takeMemory asks for the large pages that lie in a part of a mapped file. Systems and file systems that
// cannot do that refuse, or give small ones. A full disk is refused as well, and found by who writes.
// Afterwards the file is one map again: Linux makes another for each part that is treated differently, and
// has a limit of them.
func takeMemory(file []byte, from, to int) {
	begin := int(uintptr(unsafe.Pointer(unsafe.SliceData(file))) % largePage) // of the file, in a large page
	from = (begin+from+largePage-1)/largePage*largePage - begin
	to = (begin+to)/largePage*largePage - begin
	if from >= to || unix.Madvise(file, unix.MADV_NOHUGEPAGE) != nil {
		return
	}
	part := file[from:to]
	if unix.Madvise(part, unix.MADV_HUGEPAGE) == nil {
		_ = unix.Madvise(part, unix.MADV_POPULATE_WRITE)
		_ = unix.Madvise(part, unix.MADV_NOHUGEPAGE)
	}
}
