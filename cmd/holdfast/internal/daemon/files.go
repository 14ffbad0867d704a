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
	// leastFiles is what is needed beside the files that the database has: sockets to
	// listen, a few clients and peers, and what the database makes next.
	leastFiles = 128
	// databaseDir is where the store has its database.
	databaseDir = "db"
)

// databaseFiles counts the files that the database opens, and keeps open.
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

// setFilesAside gives what is left of a machine once the database has its files. It
// fails if that is too little to run: a server that cannot open another file answers
// nobody, and says nothing.
func setFilesAside(m config.Machine, d *datadir.Dir) (config.Machine, error) {
	n, err := databaseFiles(d)
	if err != nil {
		return m, err
	}
	if need := n + leastFiles; m.Files < need {
		return m, hint.Add(fmt.Errorf("%d files may be open, and %d are needed: %d for the database, and %d for everything else", m.Files, need, n, leastFiles),
			fmt.Sprintf("raise the limit to %d or more, a few thousand for many peers: `ulimit -n`, LimitNOFILE= in a systemd unit, --ulimit nofile= of Docker", need))
	}
	m.Files -= n
	return m, nil
}
