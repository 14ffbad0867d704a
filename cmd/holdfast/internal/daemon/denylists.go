package daemon

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

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

// denylistFiles lists the denylists in some directories, in their order.
func denylistFiles(dirs []denylist.Dir) (files []string, err error) {
	for _, dir := range dirs {
		e := filepath.WalkDir(dir.Path, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && strings.HasSuffix(path, ".deny") {
				files = append(files, path)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		err = errors.Join(err, e)
	}
	return files, err
}
