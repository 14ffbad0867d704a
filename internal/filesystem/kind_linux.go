package filesystem

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// kinds are file systems by the number that statfs gives.
var kinds = map[uint32]Kind{
	unix.NFS_SUPER_MAGIC:       {Name: "NFS", Network: true},
	unix.SMB_SUPER_MAGIC:       {Name: "SMB", Network: true},
	unix.CIFS_SUPER_MAGIC:      {Name: "SMB (CIFS)", Network: true},
	unix.SMB2_SUPER_MAGIC:      {Name: "SMB", Network: true},
	unix.AFS_SUPER_MAGIC:       {Name: "AFS", Network: true},
	unix.AFS_FS_MAGIC:          {Name: "AFS", Network: true},
	unix.CODA_SUPER_MAGIC:      {Name: "Coda", Network: true},
	unix.V9FS_MAGIC:            {Name: "9p, a folder that a host shares with a virtual machine"},
	unix.FUSE_SUPER_MAGIC:      {Name: "FUSE, a file system that a program serves"},
	unix.OVERLAYFS_SUPER_MAGIC: {Name: "overlay", Fleeting: "when the container is removed"},
	unix.TMPFS_MAGIC:           {Name: "tmpfs", Fleeting: "when the host restarts"},
	unix.RAMFS_MAGIC:           {Name: "ramfs", Fleeting: "when the host restarts"},
	unix.EXT4_SUPER_MAGIC:      {Name: "ext4"},
	unix.XFS_SUPER_MAGIC:       {Name: "XFS"},
	unix.BTRFS_SUPER_MAGIC:     {Name: "Btrfs"},
	zfsMagic:                   {Name: "ZFS"},
}

const zfsMagic = 0x2fc12fc1 // as OpenZFS has it; the kernel's headers do not

// overFUSE are programs that serve files of another host.
var overFUSE = []string{"sshfs", "s3fs", "rclone", "gcsfuse", "goofys", "davfs", "curlftpfs", "smbnetfs", "mountpoint-s3", "glusterfs"}

func (s System) kindOf(dir string, st *unix.Statfs_t) Kind {
	kind := kinds[uint32(st.Type)]
	if uint32(st.Type) != unix.FUSE_SUPER_MAGIC && uint32(st.Type) != unix.OVERLAYFS_SUPER_MAGIC {
		return kind
	}
	fstype, options := s.mountOf(dir)
	_, program, _ := strings.Cut(fstype, "fuse.")
	switch {
	case slices.Contains(overFUSE, program):
		kind.Name, kind.Network = program, true
	case program != "":
		kind.Name = program + ", a file system that a program serves (FUSE)"
	}
	kind.Unsynced = slices.Contains(options, "volatile")
	return kind
}

// mountOf looks a directory up in the list of mounts. It gives what it does not find as "".
func (s System) mountOf(dir string) (fstype string, options []string) {
	read := s.Mounts
	if read == nil {
		read = func() ([]byte, error) { return os.ReadFile("/proc/self/mountinfo") }
	}
	stat := s.Device
	if stat == nil {
		stat = func(path string) (uint64, bool) {
			var st unix.Stat_t
			err := unix.Stat(path, &st)
			return st.Dev, err == nil
		}
	}
	device, ok := stat(dir)
	list, err := read()
	if err != nil || !ok {
		return "", nil
	}
	number := fmt.Sprintf("%d:%d", unix.Major(device), unix.Minor(device))
	for line := range strings.Lines(string(list)) {
		mount, of, ok := strings.Cut(strings.TrimSpace(line), " - ") // proc(5) has the fields
		fields, last := strings.Fields(mount), strings.Fields(of)
		if ok && len(fields) > 2 && fields[2] == number && len(last) > 2 {
			fstype, options = last[0], strings.Split(last[2], ",")
		}
	}
	return fstype, options
}
