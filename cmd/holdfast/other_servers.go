package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

// otherServers lists the directories, of those that a server is likely to be
// on, where one runs, but for ours.
func (c *cli) otherServers(ours string) []string {
	var dirs []string
	for _, dir := range []string{c.unit.StateDir, datadir.XDG(c.getenv)} {
		if dir == "" || sameDir(dir, ours) {
			continue
		}
		_, running := datadir.ReadRunFile(filepath.Join(dir, datadir.RunFileName))
		if !running && dir == c.unit.StateDir {
			_, err := os.Stat(c.unit.Cgroup)
			running = err == nil
		}
		if running {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// warnOfOtherServer says so when a server runs on another directory than that
// which the command uses: an account that is made there is not known here.
func (c *cli) warnOfOtherServer(ours string) {
	for _, dir := range c.otherServers(ours) {
		fmt.Fprintf(c.stderr, "holdfast: warning: a server runs on %s, and this account is made in %s; use --data %s for that server\n",
			dir, ours, text.ShellQuote(dir))
	}
}

func sameDir(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	return sameFile(a, b)
}
