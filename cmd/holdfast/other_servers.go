package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

// otherServers lists the directories, other than ours, on which a server runs now. It looks
// at that of the systemd unit and that of this user.
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

// warnOfOtherServer prints a warning if a server runs on another directory than ours: that
// server will not know the account that this command makes.
func (c *cli) warnOfOtherServer(ours string) {
	for _, dir := range c.otherServers(ours) {
		fmt.Fprintf(c.stderr, "holdfast: warning: a server runs on %s, but this account is made in %s; for that server use --data %s\n",
			dir, ours, text.ShellQuote(dir))
	}
}

func sameDir(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	return sameFile(a, b)
}
