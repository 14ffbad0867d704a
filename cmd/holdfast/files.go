package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

const (
	// leastFiles is what is needed beside the files that the database has: sockets to
	// listen, a few clients and peers, and what the database makes next.
	leastFiles = 128
	// databaseDir is where the store has its database.
	databaseDir = "db"
)

// databaseFiles counts the files that the database opens, and keeps open.
func databaseFiles(d *dataDir) (n uint64, err error) {
	entries, err := os.ReadDir(d.file(databaseDir))
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
func setFilesAside(m machine, d *dataDir) (machine, error) {
	n, err := databaseFiles(d)
	if err != nil {
		return m, err
	}
	if need := n + leastFiles; m.files < need {
		return m, hinted(fmt.Errorf("%d files may be open, and %d are needed: %d for the database, and %d for everything else", m.files, need, n, leastFiles),
			fmt.Sprintf("raise the limit to %d or more, a few thousand for many peers: `ulimit -n`, LimitNOFILE= in a systemd unit, --ulimit nofile= of Docker", need))
	}
	m.files -= n
	return m, nil
}
