// Package doctor looks for what is wrong with a server and with the host that it runs on, and says
// what to do about each.
//
// Each check is in one place: `holdfast doctor` makes all of them, and a start makes those that cost
// nothing ([Start]). The checks change nothing. They see the host through [Host], so that a test can
// make each fault.
package doctor

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

// Level says how bad a finding is.
type Level string

const (
	OK      Level = "ok"
	Note    Level = "note"    // nothing is known, or it does not matter here
	Warning Level = "warning" // the server works, and somebody should look at this
	Trouble Level = "trouble" // the server does not work, or will not for long
)

// Finding is what a check found.
type Finding struct {
	Check string `json:"check"` // what was looked at, such as "disk space"
	Level Level  `json:"level"`
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"` // what to do about it
}

// Patient is what is looked at.
type Patient struct {
	Config     config.Config
	ConfigFile string // "" is none
	// ConfigErr is why the configuration cannot be used. Config has what was read before it.
	ConfigErr      error
	ConfigWarnings []string

	Path    string       // of the data directory
	Data    *datadir.Dir // nil: there is none yet, or DataErr says why it cannot be opened
	DataErr error
	// Server is the server that runs there. Nil: none runs, or ServerErr says why it is not known.
	Server    *admin.Condition
	ServerErr error
	Others    []OtherServer
	// NewestBackup says when the newest backup was made at the configured place, and the newest that lacks
	// nothing; zero if there is none.
	NewestBackup func(context.Context) (newest, good time.Time, err error)

	Host Host

	starting bool // a server starts, which has not locked the directory yet
}

// OtherServer is a server that runs on another directory of this host.
type OtherServer struct {
	Dir    string
	PeerID string // "" if it is not known
}

// check is one look at the patient. It gives one finding, or several.
type check struct {
	name    string
	atStart bool // it costs nothing, and a start makes it
	look    func(context.Context, *Patient) []Finding
}

// checks is the list of all checks, in the order of the report.
var checks = []check{
	{"configuration", false, configuration},
	{"server", false, server},
	{"data directory", true, dataDirectory},
	{"file system", true, fileSystem},
	{"disk space", false, diskSpace},
	{"inodes", true, inodes},
	{"memory", true, memory},
	{"address space", true, addressSpace},
	{"open files", false, openFiles}, // a start subtracts those of the database, by SetFilesAside
	{"clock", true, clock},
	{"clock synchronisation", false, synchronised},
	{"ports", false, ports}, // a start takes them
	{"reachability", false, reachability},
	{"cluster", false, clusterCheck},
	{"certificate", true, certificate},
	{"database", false, database}, // a start opens it
	{"backup", false, backups},
	{"peer", true, samePeer},
	{"other servers", false, otherServers},
}

// Look makes all checks.
func Look(ctx context.Context, p *Patient) (all []Finding) {
	return look(ctx, p, func(check) bool { return true })
}

func look(ctx context.Context, p *Patient, which func(check) bool) (all []Finding) {
	for _, c := range checks {
		if !which(c) {
			continue
		}
		for _, f := range c.look(ctx, p) {
			f.Check = c.name
			all = append(all, f)
		}
	}
	return all
}

// Start makes the checks of a start, and logs what they find. Its error says why the server cannot
// start.
func Start(ctx context.Context, p *Patient, log *slog.Logger) error {
	p.starting = true
	for _, f := range look(ctx, p, func(c check) bool { return c.atStart }) {
		switch {
		case f.Level == Trouble && f.Check == "address space":
			return hint.Add(&foundError{f}, f.Hint)
		case f.Level == Trouble, f.Level == Warning:
			log.Warn(f.Text, "check", f.Check, "hint", f.Hint)
		}
	}
	return nil
}

type foundError struct{ Finding }

func (e *foundError) Error() string { return e.Text }

// Worst is the worst level of some findings.
func Worst(all []Finding) Level {
	worst := OK
	for _, f := range all {
		switch {
		case f.Level == Trouble:
			return Trouble
		case f.Level == Warning:
			worst = Warning
		}
	}
	return worst
}

// one is the only finding of a check.
func one(l Level, text, what string) []Finding { return []Finding{{Level: l, Text: text, Hint: what}} }

// failed is the finding of an error that stops a check. Its hint is that of the error, if it has one.
func failed(l Level, err error, what string) []Finding {
	h, ok := errors.AsType[*hint.Error](err)
	switch {
	case ok:
		what = h.Hint
	case errors.Is(err, fs.ErrPermission):
		what = "run this as root, or as the user of the server"
	case what == "":
		what = "look at the disk, and at the log of the system"
	}
	return one(l, err.Error(), what)
}
