package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

const (
	// backupChunk is the size of blocks of what is backed up: Kubo's default.
	backupChunk = 256 << 10
	// manyChunk is that of the many blocks.
	manyChunk, manyBlocks = 4 << 10, 3_000_000

	copyTarget   = 0.8       // a full backup, of the rate of cp
	secondTarget = 0.03      // a second backup, of the time of the first
	backupMemory = 128 << 20 // that a backup takes
	pinsTarget   = 0.8       // pins beside a backup, of their rate alone
	kuboPart     = 3         // a restore, beside Kubo's import of the same CARs divided by this
)

// backups measures backups of 1 GiB, or of many small blocks, and restores:
//
//   - of 1 GiB: a full backup beside cp of the same files, which are synced as those of a backup are;
//   - another after a hundredth of the blocks changed;
//   - the memory that a backup takes;
//   - of 1 GiB: pins beside a backup, and alone, and a restore beside Kubo's import of the packs.
func backups(ctx context.Context, r *rig.Rig, source *rig.Kubo, many bool, out io.Writer, say func(string, ...any)) (err error) {
	b := &backupBench{rig: r, source: source, say: say}
	if b.server, b.client, err = startHoldfast(ctx, r, nil); err != nil {
		return err
	}
	defer os.RemoveAll(b.server.Data.Dir)
	defer b.server.Kill()
	if b.place, err = r.TempDir("backups"); err != nil {
		return err
	}
	defer os.RemoveAll(b.place)
	blocks, chunk, name := (1<<30)/backupChunk, backupChunk, "1 GiB in blocks of 256 KiB"
	if many {
		blocks, chunk, name = manyBlocks, manyChunk, "3,000,000 blocks of 4 KiB"
	}
	say("pinning %s", name)
	if err := b.pin(ctx, 20, blocks*99/100, chunk); err != nil {
		return err
	}
	if err := b.pin(ctx, 21, blocks/100, chunk); err != nil {
		return err
	}
	first, memory, err := b.backup(ctx)
	if err != nil {
		return err
	}
	var copied time.Duration
	if !many { // which is about memory, and would take as much of the disk again
		if copied, err = b.copy(ctx); err != nil {
			return err
		}
	}
	if err := b.client.Remove(ctx, b.last); err != nil {
		return err
	}
	if err := b.pin(ctx, 22, blocks/100, chunk); err != nil {
		return err
	}
	second, _, err := b.backup(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nBackups of %s\n\n", name)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(what string, is, target string, met bool) {
		fmt.Fprintf(w, "%s\t%s\ttarget %s\t%s\n", what, is, target, verdict(met))
	}
	if !many {
		rate := copied.Seconds() / first.wall.Seconds()
		row("full backup, rate beside cp and sync", fmt.Sprintf("%.2f s, cp %.2f s: %.2f", first.wall.Seconds(), copied.Seconds(), rate), fmt.Sprintf("%.2f", copyTarget), rate >= copyTarget)
	}
	part := second.server.Seconds() / first.server.Seconds()
	row("the next, after 1 % changed", fmt.Sprintf("%.3f s of %.2f s: %.3f", second.server.Seconds(), first.server.Seconds(), part), fmt.Sprintf("%.3f", secondTarget), part <= secondTarget)
	row("memory that a backup takes", fmt.Sprintf("%.0f MiB", mib(memory)), fmt.Sprintf("%.0f MiB", mib(backupMemory)), memory < backupMemory)
	if !many {
		alone, beside, err := b.pinsBeside(ctx)
		if err != nil {
			return err
		}
		ratio := alone.Seconds() / beside.Seconds()
		row("pins beside a backup, rate beside alone", fmt.Sprintf("%.2f s, alone %.2f s: %.2f", beside.Seconds(), alone.Seconds(), ratio), fmt.Sprintf("%.2f", pinsTarget), ratio >= pinsTarget)
		restored, imported, err := b.restore(ctx)
		if err != nil {
			return err
		}
		row("restore, beside a third of Kubo's dag import", fmt.Sprintf("%.2f s, Kubo %.2f s: %.2f", restored.Seconds(), imported.Seconds(), restored.Seconds()*kuboPart/imported.Seconds()), "1.00", restored*kuboPart <= imported)
	}
	return w.Flush()
}

type backupBench struct {
	rig    *rig.Rig
	source *rig.Kubo
	server *rig.Server
	client *rig.Client
	place  string
	last   string // the request that was made last
	say    func(string, ...any)
}

// pin adds a file of so many blocks to the source and pins it.
func (b *backupBench) pin(ctx context.Context, seed uint64, blocks, chunk int) error {
	cid, err := b.source.AddFile(ctx, rig.Random(seed, int64(blocks)*int64(chunk)), chunk)
	if err == nil {
		_, b.last, err = pinInHoldfast(ctx, b.client, cid, b.source.Addrs)
	}
	if err != nil {
		return fmt.Errorf("pin what is backed up: %w", err)
	}
	return nil
}

// backupTime is how long a backup took: for who ran the command, and for the server.
type backupTime struct{ wall, server time.Duration }

// backup makes a backup, and also measures how much more memory the server takes meanwhile.
func (b *backupBench) backup(ctx context.Context) (took backupTime, memory uint64, err error) {
	if _, err := idleCPUTime(ctx, b.server.PID()); err != nil { // Go gives memory back meanwhile
		return took, 0, err
	}
	if err := settle(); err != nil {
		return took, 0, err
	}
	before, err := rig.OwnMemory(b.server.PID())
	if err != nil {
		return took, 0, err
	}
	var peak peaks
	stop := peak.watch(b.source.PID(), b.server.PID())
	began := time.Now()
	printed, err := b.server.Data.Run(ctx, nil, "backup", b.place, "--json")
	took.wall = time.Since(began)
	var made struct{ Elapsed time.Duration }
	if err == nil {
		err = json.Unmarshal([]byte(printed), &made)
	}
	took.server = made.Elapsed
	if err = errors.Join(err, stop()); err != nil {
		return took, 0, fmt.Errorf("%w\n%s", err, b.server.Tail())
	}
	if peak.holdfast > before {
		memory = peak.holdfast - before
	}
	b.say("backup: %.2f s", took.wall.Seconds())
	return took, memory, nil
}

// copy times cp of a whole place, and the sync of what it wrote: a backup syncs its files too. A backup
// reads what was just pinned from the system's memory, so cp finds its files there as well.
func (b *backupBench) copy(ctx context.Context) (time.Duration, error) {
	to, err := b.rig.TempDir("copy")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(to)
	if out, err := exec.CommandContext(ctx, "sh", "-c", `find "$1" -type f -exec cat {} + >/dev/null`, "sh", b.place).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("read the backup: %w: %s", err, out)
	}
	if err := settle(); err != nil {
		return 0, err
	}
	began := time.Now()
	script := `cp -r "$1" "$2/copy" && find "$2" -type f -exec sync {} +`
	if out, err := exec.CommandContext(ctx, "sh", "-c", script, "sh", b.place, to).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("copy the backup: %w: %s", err, out)
	}
	return time.Since(began), nil
}

// pinsBeside times pins alone, and while backups are made, each to a place of its own.
func (b *backupBench) pinsBeside(ctx context.Context) (alone, beside time.Duration, err error) {
	pins := func(seed uint64) (took time.Duration, err error) {
		for i := range uint64(3) {
			cid, err := b.source.AddFile(ctx, rig.Random(seed+i, 256<<20), backupChunk)
			if err != nil {
				return 0, err
			}
			one, _, err := pinInHoldfast(ctx, b.client, cid, b.source.Addrs)
			if err != nil {
				return 0, err
			}
			took += one
		}
		return took, nil
	}
	if alone, err = pins(30); err != nil {
		return 0, 0, err
	}
	busy, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		for busy.Err() == nil {
			to, err := b.rig.TempDir("beside")
			if err == nil {
				_, err = b.server.Data.Run(busy, nil, "backup", to)
			}
			if err = errors.Join(err, os.RemoveAll(to)); err != nil && busy.Err() == nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	beside, err = pins(40)
	stop()
	return alone, beside, errors.Join(err, <-ended)
}

// restore restores the newest backup into an empty directory, and has a fresh Kubo import the same
// packs.
func (b *backupBench) restore(ctx context.Context) (restored, imported time.Duration, err error) {
	d, err := b.rig.NewData()
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(d.Dir)
	if err := settle(); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if _, err := d.Run(ctx, nil, "restore", b.place); err != nil {
		return 0, 0, err
	}
	restored = time.Since(began)
	kubo, err := b.rig.StartKubo(ctx, "importer", rig.KuboOptions{})
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(kubo.Repo)
	defer kubo.Kill()
	packs, err := filepath.Glob(filepath.Join(b.place, "*", "*.car"))
	if err != nil {
		return 0, 0, err
	}
	if err := settle(); err != nil {
		return 0, 0, err
	}
	began = time.Now()
	_, err = kubo.Run(ctx, nil, append([]string{"dag", "import", "--pin-roots=false"}, packs...)...)
	return restored, time.Since(began), err
}
