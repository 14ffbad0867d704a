package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

// machine is what the server may use, or would if it was started here.
func (p *Patient) machine() (m config.Machine, err error) {
	if p.Server != nil {
		return config.Machine{Memory: p.Server.Memory, Files: p.Server.Files}, nil
	}
	return p.Host.Machine()
}

func memory(_ context.Context, p *Patient) []Finding {
	m, err := p.machine()
	if err != nil {
		return failed(Warning, err, "")
	}
	least := config.LeastMemory(p.Config.Node.Profile)
	says := fmt.Sprintf("%s for the profile %s, which is made for %s or more", text.RoughSize(m.Memory), p.Config.Node.Profile, text.RoughSize(least))
	if m.Memory < least {
		what := "give the host or the service more memory"
		if p.Config.Node.Profile != config.ProfileSmall {
			what += ", or set node.profile to one for less"
		}
		return one(Warning, says, what)
	}
	return one(OK, says, "")
}

// beside is how much address space a server needs beside the files of the database: the heap and the
// stacks of a busy one, and the next files, of up to 2 GiB.
const beside = 8 << 30

func addressSpace(_ context.Context, p *Patient) []Finding {
	if p.Host.WordBits < 64 {
		return one(Trouble, fmt.Sprintf("this is a program for %d bits, and the database maps more files into memory than that can address", p.Host.WordBits),
			"use a host with a 64-bit processor and system, and the program for it")
	}
	limit := p.Host.AddressSpace()
	if limit == math.MaxUint64 {
		return one(OK, "it has no limit", "")
	}
	mapped := uint64(0)
	if p.Data != nil {
		entries, err := os.ReadDir(p.Data.File(databaseDir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return failed(Warning, err, "")
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil {
				mapped += uint64(info.Size())
			}
		}
	}
	says := fmt.Sprintf("the process may map %s, and needs %s for the database and %s for everything else",
		text.RoughSize(limit), text.RoughSize(mapped), text.RoughSize(beside))
	if limit < mapped+beside {
		return one(Trouble, says, "remove the limit: `ulimit -v unlimited`, or LimitAS=infinity in a systemd unit; to limit memory use MemoryMax=")
	}
	return one(OK, says, "")
}

const (
	// otherFiles is how many files a server needs besides those of the database: sockets to
	// listen, a few clients and peers, and the next files of the database.
	otherFiles = 128
	// fewFiles is what a server with the connections of its default profile needs besides.
	fewFiles = 1024
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

// SetFilesAside subtracts the files of the database from what a machine has. It fails if too
// few are left to run: a server that cannot open another file answers nobody, and cannot say
// why.
func SetFilesAside(m config.Machine, d *datadir.Dir) (config.Machine, error) {
	n, err := databaseFiles(d)
	if err != nil {
		return m, err
	}
	if need := n + otherFiles; m.Files < need {
		return m, hint.Add(fmt.Errorf("the process may open %d files, and needs %d: %d for the database, and %d for everything else", m.Files, need, n, otherFiles),
			fmt.Sprintf("raise the limit to %d or more, a few thousand for many peers: %s", need, raiseFiles))
	}
	m.Files -= n
	return m, nil
}

const raiseFiles = "`ulimit -n`, LimitNOFILE= in a systemd unit, --ulimit nofile= of Docker"

func openFiles(_ context.Context, p *Patient) []Finding {
	m, err := p.machine()
	if err != nil {
		return failed(Warning, err, "")
	}
	whose := "a server that is started from here may open"
	if p.Server != nil {
		whose = fmt.Sprintf("the server has %d open, and may open", p.Server.OpenFiles)
	}
	left := m
	if p.Data != nil {
		if left, err = SetFilesAside(m, p.Data); err != nil {
			return failed(Trouble, err, "")
		}
	}
	says := fmt.Sprintf("%s %d files, %d of them besides those of the database", whose, m.Files, left.Files)
	if left.Files < fewFiles {
		return one(Warning, says, fmt.Sprintf("raise the limit, so that %d or more are left: %s", fewFiles, raiseFiles))
	}
	return one(OK, says, "")
}

// clockSlack is by how much a clock may be set back without a word: clocks are corrected.
const clockSlack = 10 * time.Minute

const clockHint = "set the clock, and have it kept: `timedatectl set-ntp true`. With a wrong clock, tokens and certificates count as expired, or as not valid yet"

func clock(_ context.Context, p *Patient) []Finding {
	now := p.Host.Now()
	if at := built(p.Host.Build); now.Before(at.Add(-clockSlack)) {
		return one(Trouble, fmt.Sprintf("it says %s, and this program was made after that", now.UTC().Format(time.RFC3339)), clockHint)
	}
	if newest := p.newestFile(); newest.After(now.Add(clockSlack)) {
		return one(Trouble, fmt.Sprintf("it says %s, and a file of the database was written at %s: the clock was set back, or was wrong then",
			now.UTC().Format(time.RFC3339), newest.UTC().Format(time.RFC3339)), clockHint)
	}
	return one(OK, now.UTC().Format(time.RFC3339), "")
}

// newestFile is when a file of the database last changed; zero if there is none.
func (p *Patient) newestFile() (newest time.Time) {
	if p.Data == nil {
		return newest
	}
	entries, err := os.ReadDir(p.Data.File(databaseDir))
	if err != nil {
		return newest // of which other checks speak
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest
}

func synchronised(_ context.Context, p *Patient) []Finding {
	switch yes, known := p.Host.Synchronised(); {
	case !known:
		return one(Note, "this system does not say whether its clock is kept by NTP", "")
	case !yes:
		return one(Warning, "the clock is not kept by NTP", clockHint)
	}
	return one(OK, "the clock is kept by NTP", "")
}
