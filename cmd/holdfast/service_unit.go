package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// serviceUnit is where a holdfast that systemd runs can be seen from outside.
type serviceUnit struct {
	stateDir string // the data directory of the unit
	cgroup   string // a directory that is there while the unit runs
}

// systemUnit is the unit as deploy/holdfast.service has it. The data of a
// dynamic user can be read by root only, its cgroup be seen by anybody.
func systemUnit() serviceUnit {
	return serviceUnit{
		stateDir: "/var/lib/holdfast",
		cgroup:   "/sys/fs/cgroup/system.slice/holdfast.service",
	}
}

// otherServers lists the directories, of those that a server is likely to be
// on, where one runs, but for ours.
func (c *cli) otherServers(ours string) []string {
	var dirs []string
	for _, dir := range []string{c.unit.stateDir, xdgDataDir(c.getenv)} {
		if dir == "" || sameDir(dir, ours) {
			continue
		}
		_, running := readRunFile(filepath.Join(dir, runFileName))
		if !running && dir == c.unit.stateDir {
			_, err := os.Stat(c.unit.cgroup)
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
			dir, ours, shellQuote(dir))
	}
}

func sameDir(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
