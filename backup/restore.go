package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

// Target is what a backup is restored into. One goroutine calls it.
type Target interface {
	// HasRecords reports whether all records were written, by a restore that was cut off.
	HasRecords() bool
	Record(key, value []byte) error
	// RecordsDone says that all records were written.
	RecordsDone(ctx context.Context) error
	// Wants reports whether the records link to a block that is not there yet.
	Wants(ctx context.Context, h multihash.Multihash) (bool, error)
	// Block writes a block. It does not keep data.
	Block(h multihash.Multihash, data []byte) error
	// Flush makes durable, and known to Wants, what was written.
	Flush() error
	// EachWanted calls do with each block that Wants would report as wanted, once.
	EachWanted(ctx context.Context, do func(multihash.Multihash) error) error
	// Missing is called, after the last Flush, with each block that is wanted and that could
	// not be read from the backup. It reports false if the block is there by other means.
	Missing(ctx context.Context, h multihash.Multihash) (bool, error)
}

// Restored says what a restore brought back.
type Restored struct {
	Backup string `json:"backup"`
	Blocks uint64 `json:"blocks"` // that were written
	Bytes  uint64 `json:"bytes"`
	// Missing is blocks that the backup should have and that could not be read. If nothing says
	// which ones it should have, blocks count too that a pin had not fetched at that time.
	Missing      uint64   `json:"missing_blocks"`
	MissingNamed []string `json:"missing_named,omitempty"` // the first of them
	// Damaged is what could not be read, or has another hash.
	Damaged []Fault `json:"damaged,omitempty"`
	// LostRecords is records that could not be read when the backup was made, so it has none of them.
	LostRecords uint64 `json:"lost_records,omitempty"`
}

// Find gives the backup with an ID, or with one that begins so; "" is the newest. Errors:
// those of [List]; ErrNoPlace if none has the ID.
func Find(ctx context.Context, p Place, k *Key, id string) (*Manifest, error) {
	all, err := List(ctx, p, k)
	var found *Manifest
	newest := make(map[string]*Manifest) // of each store
	for _, m := range all {
		newest[m.Store] = m
		if !strings.HasPrefix(m.ID, id) {
			continue
		}
		if found != nil && id != "" {
			return nil, fmt.Errorf("two backups at %s begin with %s: %s and %s", p, id, found.ID, m.ID)
		}
		found = m
	}
	switch {
	case id == "" && len(newest) > 1:
		var choices []string
		for _, m := range newest {
			choices = append(choices, m.ID+" of "+text.Printable(m.Host))
		}
		slices.Sort(choices)
		return nil, fmt.Errorf("%s has backups of %d servers, so name the backup: %s", p, len(newest), strings.Join(choices, ", "))
	case found != nil && (err == nil || id != ""):
		return readManifest(ctx, p, k, found.ID)
	case err != nil && found != nil:
		return nil, hint.Add(err, "--backup "+found.ID+" names the newest that can be read")
	case err != nil:
		return nil, err
	case id == "":
		return nil, fmt.Errorf("%w at %s: none was finished", ErrNoPlace, p)
	}
	return nil, fmt.Errorf("%w with the ID %s at %s", ErrNoPlace, id, p)
}

// Restore writes the records and blocks of a backup into a target. A damaged list of records
// is an error. A damaged pack is not: what of it has its hash is written, and what is missing
// in the end is counted, and given to the target. A file that cannot be read is damage only while
// the place itself can be read, and has the backup. It may be interrupted, and be called again with the same target.
func Restore(ctx context.Context, p Place, k *Key, m *Manifest, t Target, progress func(Progress)) (Restored, error) {
	done := Restored{Backup: m.ID, LostRecords: m.DamagedRecords}
	if progress == nil {
		progress = func(Progress) {}
	}
	err := func() error {
		if !t.HasRecords() {
			progress(Progress{Text: "writing the records"})
			if err := restoreRecords(ctx, p, k, m, t); err != nil {
				return err
			}
		}
		read, total := uint64(0), uint64(0)
		for _, pk := range m.Packs {
			total += pk.Blocks
		}
		for i, pk := range m.Packs {
			tell := func() {
				if read++; read%256 == 0 || read == total {
					progress(Progress{Text: "reading blocks", Done: read, Total: total})
				}
			}
			if err := restorePack(ctx, p, k, pk, t, &done, tell); err != nil {
				return fmt.Errorf("pack %d of %d, %s: %w", i+1, len(m.Packs), pk.Name, err)
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
		return findMissing(ctx, p, k, m, t, &done)
	}()
	if err != nil {
		return done, fmt.Errorf("restore backup %s from %s: %w", m.ID, p, err)
	}
	return done, nil
}

func restoreRecords(ctx context.Context, p Place, k *Key, m *Manifest, t Target) error {
	err := readList(ctx, p, k, m.Records, func(l listReader) error {
		var key, value []byte
		for {
			var err error
			if key, err = l.field(key, true); errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				value, err = l.field(value, false)
			}
			if err == nil {
				err = t.Record(key, value)
			}
			if err = errors.Join(err, ctx.Err()); err != nil {
				return err
			}
		}
	})
	if err != nil {
		err = fmt.Errorf("records: %w", err)
		ours := errors.Is(err, ErrDamaged) || errors.Is(err, errList) || errors.Is(err, fs.ErrNotExist)
		if ours && placeError(ctx, p, k, err) == nil {
			err = hint.Add(err, "an older backup may be whole: `holdfast backup ls` lists them, and --backup names one")
		}
		return err
	}
	return t.RecordsDone(ctx)
}

func restorePack(ctx context.Context, p Place, k *Key, pk Pack, t Target, done *Restored, read func()) error {
	damaged := func(err error) {
		done.Damaged = append(done.Damaged, Fault{pk.Name, err.Error(), []string{done.Backup}})
	}
	// Each block is hashed, so the hash of the file is needed only if something is wrong.
	r, closer, openErr := openUnchecked(ctx, p, k, pk.File)
	if openErr != nil {
		if err := placeError(ctx, p, k, openErr); err != nil {
			return err
		}
		if _, err := readManifest(ctx, p, k, done.Backup); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: this one was removed while it was restored", ErrNoPlace)
		}
		damaged(openErr)
		return nil
	}
	var failed error
	var blocks, wrong uint64
	order := newOrder()
	err := readPack(r, func(h multihash.Multihash, data []byte) error {
		read()
		blocks++
		order.add(h)
		wants, err := t.Wants(ctx, h)
		if err == nil && wants {
			err = t.Block(h, data)
			done.Blocks++
			done.Bytes += uint64(len(data))
		}
		failed = errors.Join(err, ctx.Err())
		return failed
	}, func(c cid.Cid) {
		wrong++
		damaged(fmt.Errorf("%w: %s", errBlock, c))
	})
	_ = closer.Close() // it was only read
	switch {
	case failed != nil:
		return failed
	case err == nil && wrong == 0 && blocks == pk.Blocks && (pk.Order == "" || order.sum() == pk.Order):
		return nil
	}
	if e := checkSum(ctx, p, k, pk.File); e != nil {
		if err := placeError(ctx, p, k, e); err != nil {
			return err // the next try may read it
		}
		err = e
	}
	if err == nil && wrong == 0 {
		err = fmt.Errorf("%w: it has %d blocks, which are not the %d that it should have", ErrDamaged, blocks, pk.Blocks)
	}
	if err != nil {
		damaged(err)
	}
	return nil
}

// checkSum reads a file, and fails with ErrDamaged if it is not as it was written.
func checkSum(ctx context.Context, p Place, k *Key, f File) error {
	o, err := openFile(ctx, p, k, f)
	if err != nil {
		return err
	}
	defer o.close()
	return o.check()
}

// placeError tells damage from an error of the place. It returns nil if err says that a file is
// missing, or is not as it was written, and else an error: what is wrong may be gone the next
// time, such as a connection that broke or a disk that was unplugged.
func placeError(ctx context.Context, p Place, k *Key, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EIO) {
		// If the whole place is gone, that says nothing about the file.
		found, placeErr := checkPlace(ctx, p, k)
		if placeErr == nil && !found {
			placeErr = fmt.Errorf("%w any more: %s cannot be read", ErrNoPlace, placeFile)
		}
		if placeErr != nil {
			return errors.Join(err, placeErr)
		}
		return nil
	}
	for _, e := range []error{ErrDamaged, errList} {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

// findMissing counts the blocks that the backup should have and that are not there.
func findMissing(ctx context.Context, p Place, k *Key, m *Manifest, t Target, done *Restored) error {
	noted := make(map[string]struct{}) // what is missing is little, or else everything is
	note := func(h multihash.Multihash) error {
		if _, ok := noted[string(h)]; ok {
			return ctx.Err()
		}
		missing, err := t.Wants(ctx, h)
		if err == nil && missing {
			missing, err = t.Missing(ctx, slices.Clone(h))
		}
		if err != nil || !missing {
			return errors.Join(err, ctx.Err())
		}
		noted[string(h)] = struct{}{}
		if done.Missing++; len(done.MissingNamed) < maxDamagedNamed {
			done.MissingNamed = append(done.MissingNamed, cid.NewCidV1(cid.Raw, slices.Clone(h)).String())
		}
		return ctx.Err()
	}
	// What could not be read when the backup was made is in no list. If it was much, the manifest
	// does not name all of it.
	if m.DamagedBlocks > uint64(len(m.Damaged)) {
		return t.EachWanted(ctx, note)
	}
	for _, name := range m.Damaged {
		c, err := cid.Decode(name)
		if err == nil {
			err = note(c.Hash())
		}
		if err != nil {
			return err
		}
	}
	if len(done.Damaged) == 0 {
		return nil
	}
	err := eachListed(ctx, p, k, m, note)
	if err == nil {
		return nil
	}
	if err := placeError(ctx, p, k, err); err != nil {
		return err
	}
	done.Damaged = append(done.Damaged, Fault{m.List.Name, err.Error(), []string{m.ID}})
	return t.EachWanted(ctx, note)
}

// eachListed calls do with each block of the backup's list.
func eachListed(ctx context.Context, p Place, k *Key, m *Manifest, do func(multihash.Multihash) error) error {
	var e entry
	return readList(ctx, p, k, m.List, func(l listReader) error {
		for {
			if err := l.entry(&e); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := do(e.hash); err != nil {
				return err
			}
		}
	})
}

// Keys reads the files that make the server who it is, by name. A backup may have none.
func Keys(ctx context.Context, p Place, k *Key, m *Manifest) (map[string][]byte, error) {
	files := make(map[string][]byte)
	for _, f := range m.Keys {
		o, err := openFile(ctx, p, k, f)
		if err != nil {
			return nil, err
		}
		b, err := readLimited(o, maxSmall)
		if e := o.check(); e != nil {
			err = e
		}
		o.close()
		if err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", f.Name, p, err)
		}
		files[strings.TrimSuffix(path.Base(f.Name), k.suffix())] = b
	}
	return files, nil
}

// RestoreDenylists calls write with each denylist of a backup, in their order, with the path at
// which it was. write reads r to its end. A list that is damaged or missing is left out, and is a fault:
// it does not keep the rest of a backup from being restored.
func RestoreDenylists(ctx context.Context, p Place, k *Key, m *Manifest, write func(path string, r io.Reader) error) (faults []Fault, err error) {
	for _, d := range m.Denylists {
		err := checkSum(ctx, p, k, d.File)
		if err != nil {
			if err := placeError(ctx, p, k, err); err != nil {
				return faults, fmt.Errorf("denylist %s, %s: %w", d.Path, d.Name, err)
			}
			faults = append(faults, Fault{d.Name, fmt.Sprintf("denylist %s is not restored: %v", d.Path, missing(err)), []string{m.ID}})
			continue
		}
		err = readList(ctx, p, k, d.File, func(l listReader) error { return write(d.Path, l.r) })
		if err != nil {
			return faults, fmt.Errorf("denylist %s, %s: %w", d.Path, d.Name, err)
		}
	}
	return faults, nil
}
