package main

import (
	"github.com/holdfast-ipfs/holdfast/node"
	"github.com/holdfast-ipfs/holdfast/node/denylist"
)

// The places that autoDenylists stands for: a directory of the data directory, and the
// one for all IPFS software of the machine.
const (
	denylistsName   = "denylists"
	systemDenylists = "/etc/ipfs/denylists"
)

var _ node.Denylist = (*denials)(nil)

// denylistDirs is where the configuration has lists looked for.
func denylistDirs(c DenylistConfig, d *dataDir) (dirs []denylist.Dir) {
	for _, dir := range c.Dirs {
		if dir == autoDenylists {
			dirs = append(dirs,
				denylist.Dir{Path: d.file(denylistsName), Optional: true},
				denylist.Dir{Path: systemDenylists, Optional: true})
			continue
		}
		dirs = append(dirs, denylist.Dir{Path: dir})
	}
	return dirs
}
