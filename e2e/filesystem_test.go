package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// unmappable is a directory of a file system that a program serves, and whose files cannot be mapped
// so that others see it: each is opened with direct I/O.
type unmappable struct{ *fs.LoopbackNode }

func (n *unmappable) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	h, got, errno := n.LoopbackNode.Open(ctx, flags)
	return served(h), got | fuse.FOPEN_DIRECT_IO, errno
}

func (n *unmappable) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, h, got, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return inode, served(h), got | fuse.FOPEN_DIRECT_IO, errno
}

// WrapChild makes what is below such a node another one.
func (n *unmappable) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	below, ok := ops.(*fs.LoopbackNode)
	if !ok {
		return ops
	}
	return &unmappable{below}
}

// servedFile is a file without the means by which the kernel would go past the program.
type servedFile struct {
	fs.FileReader
	fs.FileWriter
	fs.FileFlusher
	fs.FileFsyncer
	fs.FileReleaser
	fs.FileGetattrer
	fs.FileSetattrer
}

func served(h fs.FileHandle) fs.FileHandle {
	f, ok := h.(*fs.LoopbackFile)
	if !ok {
		return h
	}
	return &servedFile{f, f, f, f, f, f, f}
}

// mountUnmappable mounts such a file system over a directory. It needs /dev/fuse, and root or fusermount3.
func mountUnmappable(t *testing.T) (mount, behind string) {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("this host has no FUSE, and no other file system here cannot map files: ", err)
	}
	mount, behind = must(suite.TempDir("mount"))(t), must(suite.TempDir("behind"))(t)
	data := &fs.LoopbackRoot{Path: behind}
	root := &unmappable{&fs.LoopbackNode{RootData: data}}
	data.RootNode = root
	s := must(fs.Mount(mount, root, &fs.Options{MountOptions: fuse.MountOptions{DirectMount: true, FsName: "holdfast-e2e", Name: "unmappable"}}))(t)
	t.Cleanup(func() {
		if err := s.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return mount, behind
}

// A file system that cannot map files is refused with words, by a server and by each command, and
// nothing stays there. The doctor says the same.
func TestUnfitFileSystem(t *testing.T) {
	t.Parallel()
	mount, behind := mountUnmappable(t)
	ctx := within(t, 30*patience)
	check(t, os.Mkdir(filepath.Join(behind, "data"), 0o700))
	d := suite.DataAt(filepath.Join(mount, "data"))
	const why = "is on unmappable, a file system that a program serves (FUSE), which cannot hold the data: its files cannot be mapped into memory"
	const what = "put the data directory on a local file system"
	for _, args := range [][]string{
		{"serve"}, {"user", "add", email, "--password-stdin"}, {"doctor"},
	} {
		out, err := d.Run(ctx, strings.NewReader(password+"\n"), args...)
		if err == nil {
			t.Fatalf("%q works there", args)
		}
		if said := out + err.Error(); !strings.Contains(said, why) || !strings.Contains(said, what) {
			t.Errorf("%q says\n%s", args, said)
		}
		if left := must(os.ReadDir(filepath.Join(behind, "data")))(t); len(left) > 0 {
			t.Errorf("%q leaves %v", args, left)
		}
	}
}
