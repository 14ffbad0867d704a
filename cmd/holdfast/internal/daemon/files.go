package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

const (
	// otherFiles is how many files a server needs besides those of the database: sockets to
	// listen, a few clients and peers, and the next files of the database.
	otherFiles = 128
	// databaseDir is the directory of the database in the data directory.
	databaseDir = "db"
)

// databaseFiles counts the files that the database keeps open.
func databaseFiles(d *datadir.Dir) (n uint64, err error) {
	entries, err := os.ReadDir(d.File(databaseDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("count the database's files: %w", err)
	}
	for _, e := range entries {
		if slices.Contains([]string{".vlog", ".sst", ".mem"}, filepath.Ext(e.Name())) {
			n++
		}
	}
	return n, nil
}

// setFilesAside subtracts the files of the database from what a machine has. It fails if too
// few are left to run: a server that cannot open another file answers nobody, and cannot say
// why.
func setFilesAside(m config.Machine, d *datadir.Dir) (config.Machine, error) {
	n, err := databaseFiles(d)
	if err != nil {
		return m, err
	}
	if need := n + otherFiles; m.Files < need {
		return m, hint.Add(fmt.Errorf("the process may open %d files, and needs %d: %d for the database, and %d for everything else", m.Files, need, n, otherFiles),
			fmt.Sprintf("raise the limit to %d or more, a few thousand for many peers: `ulimit -n`, LimitNOFILE= in a systemd unit, --ulimit nofile= of Docker", need))
	}
	m.Files -= n
	return m, nil
}
