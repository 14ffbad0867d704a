//go:build darwin || freebsd

package filesystem

import (
	"strings"

	"golang.org/x/sys/unix"
)

// kinds are file systems by the name that statfs gives.
var kinds = map[string]Kind{
	"nfs":    {Name: "NFS", Network: true},
	"smbfs":  {Name: "SMB", Network: true},
	"afpfs":  {Name: "AFP", Network: true},
	"webdav": {Name: "WebDAV", Network: true},
	"tmpfs":  {Name: "tmpfs", Fleeting: "when the host restarts"},
}

func (s System) kindOf(_ string, st *unix.Statfs_t) Kind {
	var name strings.Builder
	for _, c := range st.Fstypename {
		if c == 0 {
			break
		}
		name.WriteByte(byte(c))
	}
	if kind, ok := kinds[name.String()]; ok {
		return kind
	}
	return Kind{Name: name.String()}
}
