package daemon

import (
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/node"
	"github.com/holdfast-ipfs/holdfast/node/denylist"
)

// The two directories that AutoDenylists stands for: one in the data directory, and the one
// for all IPFS software of the machine.
const (
	denylistsName   = "denylists"
	systemDenylists = "/etc/ipfs/denylists"
)

var _ node.Denylist = (*denylist.Denials)(nil)

// denylistDirs lists the directories in the configuration.
func denylistDirs(c config.Denylist, d *datadir.Dir) (dirs []denylist.Dir) {
	for _, dir := range c.Dirs {
		if dir == config.AutoDenylists {
			dirs = append(dirs,
				denylist.Dir{Path: d.File(denylistsName), Optional: true},
				denylist.Dir{Path: systemDenylists, Optional: true})
			continue
		}
		dirs = append(dirs, denylist.Dir{Path: dir})
	}
	return dirs
}
