package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-ipfs/holdfast/internal/filesystem"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/store"
)

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
