package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/filesystem"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/node"
	"github.com/holdfast-ipfs/holdfast/store"
)

func configuration(_ context.Context, p *Patient) (all []Finding) {
	const what = "`holdfast config check` prints each key with its value and where that comes from"
	if p.ConfigErr != nil {
		for fault := range strings.SplitSeq(p.ConfigErr.Error(), "\n") {
			all = append(all, Finding{Level: Trouble, Text: fault, Hint: what})
		}
		return all
	}
	for _, w := range p.ConfigWarnings {
		all = append(all, Finding{Level: Warning, Text: w, Hint: what})
	}
	if len(all) == 0 {
		return one(OK, "it is good; file: "+cmp.Or(p.ConfigFile, "none"), "")
	}
	return all
}

func server(_ context.Context, p *Patient) []Finding {
	switch {
	case p.ServerErr != nil:
		if answer, ok := errors.AsType[*admin.AnswerError](p.ServerErr); ok && answer.Status == http.StatusNotFound {
			return one(Warning, "a server of an earlier version runs, which cannot say how it is", "restart it, so that the installed version runs")
		}
		return one(Trouble, "a server runs, and does not say how it is: "+p.ServerErr.Error(), "look at its log; if it says nothing, restart it")
	case p.Server == nil:
		return one(Note, "none runs on "+p.Path, "")
	case p.Server.Unready != "":
		return one(Trouble, fmt.Sprintf("it runs, as process %d, and is not ready for new pins: %s", p.Server.PID, p.Server.Unready),
			"its log has the reason, in the line `not ready`")
	}
	return one(OK, fmt.Sprintf("it runs, as process %d, since %s, with %s", p.Server.PID,
		p.Server.Started.Format("2006-01-02 15:04"), text.Counted(p.Server.Network.Peers, "peer")), "")
}

func dataDirectory(_ context.Context, p *Patient) (all []Finding) {
	if p.DataErr != nil {
		return failed(Trouble, p.DataErr, "")
	}
	if p.Data == nil {
		return one(Note, "there is none at "+p.Path+" yet; the first `holdfast serve` makes it", "")
	}
	if mode, open := p.Data.OpenToAll(); open {
		all = append(all, Finding{Level: Warning, Text: fmt.Sprintf("every user of this host can write to %s, which has the server's keys (mode %#o)", p.Path, mode),
			Hint: "chmod 700 " + text.ShellQuote(p.Path)})
	}
	if p.Server == nil && p.Data.CopiedInUse() {
		all = append(all, Finding{Level: Warning, Text: p.Path + " is a copy, and a server ran in the original while it was made, or was killed there",
			Hint: "if it does not open, stop that server and copy its directory again, or use `holdfast backup`"})
	}
	if len(all) == 0 {
		return one(OK, p.Path, "")
	}
	return all
}

func fileSystem(_ context.Context, p *Patient) []Finding {
	at := p.Path
	if p.Data != nil {
		at = p.Data.Open
	}
	if err := p.Host.FileSystem.Check(at); err != nil {
		return failed(Trouble, err, filesystem.Hint)
	}
	if p.Data != nil && !p.starting { // to lock the directory is to try this
		if err := store.TryFileSystem(p.Host.FileSystem, at); err != nil {
			return failed(Trouble, err, filesystem.Hint)
		}
	}
	kind, err := p.Host.FileSystem.Of(at)
	switch {
	case err != nil:
		return failed(Trouble, err, filesystem.Hint)
	case kind.Fleeting != "":
		return one(Warning, fmt.Sprintf("%s is on %s: everything is lost %s", p.Path, kind.Name, kind.Fleeting),
			"for anything but a trial, put the data directory on a disk, or on a volume that is mounted into the container")
	}
	return one(OK, cmp.Or(kind.Name, "its files can be mapped and locked"), "")
}

func diskSpace(_ context.Context, p *Patient) []Finding {
	at := p.Path
	if p.Data != nil {
		at = p.Data.Open
	}
	room, err := p.Host.FileSystem.Room(at)
	if err != nil {
		return failed(Trouble, err, "")
	}
	floor, err := store.Floor(at, uint64(p.Config.Store.MinFreeSpace))
	if err != nil {
		return failed(Warning, err, "")
	}
	says := fmt.Sprintf("%s of %s are free, and new pins need %s", text.RoughSize(room.Free), text.RoughSize(room.Size), text.RoughSize(floor))
	const what = "remove other files from that file system, or remove pins and run `holdfast store reclaim`"
	switch {
	case room.Free < floor:
		return one(Trouble, says+": no pin is accepted", what)
	case room.Free-floor < max(room.Size/20, floor):
		return one(Warning, says, what)
	}
	return one(OK, says, "")
}

// Each file of the database is of 64 MiB or more, so a server needs few inodes. But without any it
// cannot make the next file, although there is space.
const (
	fewInodes  = 10_000
	leastInode = 100 // what a compaction or a reclaim makes at a time, and some more
)

func inodes(_ context.Context, p *Patient) []Finding {
	at := p.Path
	if p.Data != nil {
		at = p.Data.Open
	}
	room, err := p.Host.FileSystem.Room(at)
	if err != nil {
		return failed(Trouble, err, "")
	}
	if room.Files == 0 {
		return one(OK, "the file system has no limit of files", "")
	}
	says := fmt.Sprintf("%d more files can be made on the file system of %s", room.FreeFiles, p.Path)
	const what = "remove small files from that file system: `df -i` shows how many it has"
	switch {
	case room.FreeFiles < leastInode:
		return one(Trouble, says, what)
	case room.FreeFiles < fewInodes:
		return one(Warning, says, what)
	}
	return one(OK, says, "")
}

func database(ctx context.Context, p *Patient) (all []Finding) {
	if err := store.CheckBadger(p.Host.Build); err != nil {
		all = append(all, Finding{Level: Trouble, Text: err.Error(), Hint: "use a release, or build with the versions in go.mod"})
	}
	if p.Data == nil {
		return append(all, Finding{Level: Note, Text: "there is none yet"})
	}
	in, err := store.Inspect(ctx, p.Data.Open, p.Server == nil && p.ServerErr == nil)
	if err != nil {
		what := "use the version of Holdfast that wrote it, or a later one, or restore a backup"
		if errors.Is(err, store.ErrDamaged) {
			what = DamagedHint
		}
		return append(all, failed(Trouble, p.Data.Explain(err), what)...)
	}
	damaged, unreadable := in.Damaged, 0
	if is := p.Server; is != nil {
		damaged, unreadable = is.DamagedFiles, is.UnreadableBlocks
		if is.Damage != "" {
			all = append(all, Finding{Level: Trouble, Text: is.Damage, Hint: DamagedHint})
		}
	}
	if damaged > 0 || unreadable > 0 {
		all = append(all, Finding{Level: Trouble,
			Text: fmt.Sprintf("%s cannot be read completely, and %s could not be read", text.Counted(damaged, "file"), text.Counted(unreadable, "block")),
			Hint: "check the disk, and run `holdfast store verify --repair`, which fetches again what is damaged"})
	}
	if len(all) > 0 {
		return all
	}
	switch {
	case in.Layout == 0:
		return one(Note, "it is new", "")
	case p.Server != nil || p.ServerErr != nil:
		return one(OK, fmt.Sprintf("layout %d; no damage was met since the server started; `holdfast store verify` reads everything", in.Layout), "")
	}
	return one(OK, fmt.Sprintf("layout %d; its tables are sound; `holdfast store verify` reads everything", in.Layout), "")
}

// DamagedHint is for a database that does not open. With other databases it often helps to
// remove the file that is reported. Here that would delete everything.
const DamagedHint = "check the disk, and restore the data directory from a backup; keep a copy of it as it is, " +
	"and remove none of the files in db: without its MANIFEST Badger deletes all others"

// samePeer looks for a server that runs with a copy of our directory.
func samePeer(_ context.Context, p *Patient) []Finding {
	if p.Data == nil {
		return one(Note, "the first start makes the key of the node", "")
	}
	ours, err := node.PeerIDIn(p.Data.File(datadir.NodeKeyFile))
	if err != nil {
		return failed(Trouble, p.Data.Explain(err), "a backup that was made with --server-keys has the file")
	}
	if ours == "" {
		return one(Note, "the next start makes the key of the node", "")
	}
	for _, o := range p.Others {
		if o.PeerID == ours {
			return one(Trouble, fmt.Sprintf("the server on %s is the same peer as this one: it has the same node.key", o.Dir),
				"never run two servers with copies of one directory: stop one of them, or move node.key out of its directory, so that it becomes another peer")
		}
	}
	return one(OK, ours, "")
}

func otherServers(_ context.Context, p *Patient) (all []Finding) {
	for _, o := range p.Others {
		all = append(all, Finding{Level: Warning, Text: "another server runs on " + o.Dir,
			Hint: "to look at that one, use --data " + text.ShellQuote(o.Dir) + "; two servers need different ports"})
	}
	if p.Data != nil && p.Server == nil && p.ServerErr == nil {
		pid, locked, err := store.Holder(p.Data.Open)
		switch {
		case err != nil:
			return append(all, failed(Trouble, err, "")...)
		case locked && pid != os.Getpid():
			all = append(all, Finding{Level: Warning, Text: fmt.Sprintf("%s is in use by process %d, which does not answer as a server", p.Path, pid),
				Hint: "it is a command, or a server that starts or stops: find it with `ps`, and wait for it"})
		}
	}
	if len(all) == 0 {
		return one(OK, "none was found", "")
	}
	return all
}
