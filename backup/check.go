package backup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/seen"
)

// Fault is something in a place that is not as it was written.
type Fault struct {
	File    string   `json:"file"`
	Reason  string   `json:"reason"`
	Backups []string `json:"backups"` // the IDs of those that need the file
}

// Checked says what a check read.
type Checked struct {
	Backups int    `json:"backups"`
	Files   int    `json:"files"`
	Blocks  uint64 `json:"blocks"`
	Bytes   uint64 `json:"bytes"` // of the blocks
	Faults  int    `json:"faults"`
}

// Check reads every file of every backup: each must have its checksum, each block its hash, each
// pack as many blocks as its manifest says, and each list must name blocks that are in the packs
// that it says. A backup that was made without something that could not be read is a fault, too.
// Backups may be made and pruned meanwhile: it does not look at new ones, and what is missing since its
// backups were pruned is no fault.
// fault is called with each fault, in the end; its error ends that. Errors: those of [Each] if no
// manifest can be read; a damaged file is none. temp is a directory for some 30 bytes a block; "" is the
// system's.
func Check(ctx context.Context, p Place, k *Key, temp string, progress func(Progress), fault func(Fault) error) (Checked, error) {
	c := &check{
		place: p, key: k, progress: progress, backups: make(map[string]bool), files: make(map[string]*checkedFile),
		inPacks: seen.New(temp, func() int { return checkedInMemory }),
	}
	defer func() { _ = c.inPacks.Close() }()
	for _, step := range []func(context.Context) error{c.manifests, c.readFiles, c.readLists, c.users} {
		if err := step(ctx); err != nil {
			return c.Checked, err
		}
	}
	for _, f := range c.found {
		c.Faults++
		if err := fault(f.Fault); err != nil {
			return c.Checked, err
		}
	}
	return c.Checked, nil
}

// checkedInMemory is how many blocks of packs are in memory, of about 45 bytes each.
const checkedInMemory = 1 << 18

// check is one Check. Of the manifests one is in memory at a time.
type check struct {
	Checked
	place    Place
	key      *Key
	progress func(Progress)
	backups  map[string]bool         // that are checked, by their IDs
	files    map[string]*checkedFile // by their names
	order    []string                // of the files, as they are read
	inPacks  *seen.Set               // the sizes of blocks, plus 1, by what inPack gives
	found    []foundFault
}

// foundFault is a fault, and whether it is that the file is missing.
type foundFault struct {
	Fault
	missing bool
}

// checkedFile is a file that a backup needs.
type checkedFile struct {
	File
	pack          int    // its number among packs, from 1 on; 0 is that it is none
	blocks, bytes uint64 // that a pack must have
	list          bool   // it is a list of blocks
	faulty        bool
}

func (c *check) fault(file string, err error, backups ...string) {
	c.found = append(c.found, foundFault{Fault{file, err.Error(), backups}, errors.Is(err, fs.ErrNotExist)})
}

// manifests reads which files there must be.
func (c *check) manifests(ctx context.Context) error {
	packs := 0
	var unread error
	for m, err := range Each(ctx, c.place, c.key) {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			unread = errors.Join(unread, err)
			if bad, ok := errors.AsType[*ManifestError](err); ok {
				c.fault(bad.File, bad.Err, bad.ID)
			}
			continue
		}
		c.Backups++
		c.backups[m.ID] = true
		if n := m.DamagedBlocks + m.DamagedRecords; n > 0 {
			c.fault(m.ID+"/"+manifestFile+c.key.suffix(), fmt.Errorf("it lacks %d blocks and %d records, which could not be read when it was made",
				m.DamagedBlocks, m.DamagedRecords), m.ID)
		}
		for _, f := range m.files() {
			if c.files[f.Name] == nil {
				c.files[f.Name] = &checkedFile{File: f}
				c.order = append(c.order, f.Name)
			}
		}
		c.files[m.List.Name].list = true
		for _, pk := range m.Packs {
			if f := c.files[pk.Name]; f.pack == 0 {
				packs++
				f.pack, f.blocks, f.bytes = packs, pk.Blocks, pk.Bytes
			}
		}
	}
	if c.Backups == 0 {
		return unread
	}
	return c.ofPlace(ctx)
}

// ofPlace looks whether what the place says of itself is as it was written. What a restore needs of
// it was read.
func (c *check) ofPlace(ctx context.Context) error {
	want, err := describePlace(c.key)
	if err != nil {
		return err
	}
	b, err := readAll(ctx, c.place, placeFile, maxSmall)
	if err == nil && !bytes.Equal(b, want) {
		err = ErrDamaged
	}
	c.Files++
	if err != nil && ctx.Err() == nil {
		c.fault(placeFile, missing(err))
	}
	return ctx.Err()
}

// readFiles reads all files but the lists of blocks.
func (c *check) readFiles(ctx context.Context) error {
	for i, name := range c.order {
		c.progress(Progress{Text: "reading the files", Done: uint64(i), Total: uint64(len(c.order))})
		f := c.files[name]
		if f.list {
			continue
		}
		c.Files++
		err := c.readFile(ctx, f)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			f.faulty = true
			c.fault(name, err)
		}
	}
	return nil
}

func (c *check) readFile(ctx context.Context, f *checkedFile) error {
	o, err := openFile(ctx, c.place, c.key, f.File)
	if err != nil {
		return missing(err)
	}
	defer o.close()
	if f.pack == 0 {
		_, err := io.Copy(io.Discard, o)
		if e := o.check(); e != nil {
			return e
		}
		return err
	}
	var bad []error // the first
	var wrong, blocks, bytes uint64
	err = readPack(o, func(h multihash.Multihash, data []byte) error {
		blocks++
		bytes += uint64(len(data))
		return errors.Join(ctx.Err(), c.inPacks.Put(inPack(h, f.pack), uint64(len(data))+1))
	}, func(id cid.Cid) {
		if wrong++; wrong <= maxWrongNamed {
			bad = append(bad, fmt.Errorf("%w: %s", errBlock, id))
		}
	})
	if wrong > maxWrongNamed {
		bad = append(bad, fmt.Errorf("so have %d more", wrong-maxWrongNamed))
	}
	c.Blocks += blocks
	c.Bytes += bytes
	if e := o.check(); e != nil {
		return errors.Join(append([]error{e}, bad...)...)
	}
	if err == nil && wrong == 0 && (blocks != f.blocks || bytes != f.bytes) {
		err = fmt.Errorf("it has %d blocks of %d bytes, not %d of %d", blocks, bytes, f.blocks, f.bytes)
	}
	return errors.Join(append([]error{err}, bad...)...)
}

// maxWrongNamed is how many blocks of a pack are named that have another hash. There may be a million.
const maxWrongNamed = 20

// inPack is a block in a pack, as a key.
func inPack(h multihash.Multihash, pack int) multihash.Multihash {
	return binary.BigEndian.AppendUint64(slices.Clone(h), uint64(pack))
}

// errMissing says in short that a file is not there.
type errMissing struct{}

func (errMissing) Error() string { return "it is missing" }

func (errMissing) Unwrap() error { return fs.ErrNotExist }

// missing makes an error short if it says that a file is not there.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errMissing{}
	}
	return err
}

// readLists reads the lists of blocks, and compares them with the packs that were read whole.
func (c *check) readLists(ctx context.Context) error {
	for m, err := range Each(ctx, c.place, c.key) {
		if err != nil || !c.backups[m.ID] {
			continue // it was said; or the backup is newer
		}
		c.progress(Progress{Text: "comparing the lists with the packs", Done: uint64(c.Files), Total: uint64(len(c.order))})
		c.Files++
		err = c.readList(ctx, m)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.files[m.List.Name].faulty = true
			c.fault(m.List.Name, missing(err))
		}
	}
	return nil
}

func (c *check) readList(ctx context.Context, m *Manifest) error {
	var e entry
	var wrong error // the first
	n, bytes := uint64(0), uint64(0)
	err := readList(ctx, c.place, c.key, m.List, func(l listReader) error {
		for {
			if err := l.entry(&e); errors.Is(err, io.EOF) {
				return ctx.Err()
			} else if err != nil {
				return err
			}
			n++
			bytes += e.size
			if e.pack >= uint64(len(m.Packs)) {
				return fmt.Errorf("%w: it names pack %d of %d", errList, e.pack, len(m.Packs))
			}
			f := c.files[m.Packs[e.pack].Name]
			if f.faulty {
				continue // it was said
			}
			size, err := c.inPacks.Get(inPack(e.hash, f.pack))
			if err != nil {
				return err
			}
			if size != e.size+1 && wrong == nil {
				wrong = fmt.Errorf("%w: %s does not have block %s of %d bytes", errList, f.Name, cid.NewCidV1(cid.Raw, e.hash), e.size)
			}
		}
	})
	if err == nil && wrong == nil && (n != m.Blocks || bytes != m.Bytes) {
		wrong = fmt.Errorf("%w: it has %d blocks of %d bytes, not %d of %d", errList, n, bytes, m.Blocks, m.Bytes)
	}
	return errors.Join(err, wrong)
}

// users finds the backups that need the files that are faulty. It drops the faults of backups that were
// pruned meanwhile.
func (c *check) users(ctx context.Context) error {
	if len(c.found) == 0 {
		return nil
	}
	at := make(map[string][]int) // faults by their files
	for i, f := range c.found {
		if len(f.Backups) == 0 {
			at[f.File] = append(at[f.File], i)
		}
	}
	there := make(map[string]bool) // manifests, by their backups
	all := true                    // manifests were read that are there
	for m, err := range Each(ctx, c.place, c.key) {
		if err != nil {
			all = all && errors.Is(err, fs.ErrNotExist)
			continue
		}
		there[m.ID] = true
		for _, f := range m.files() {
			for _, i := range at[f.Name] {
				c.found[i].Backups = append(c.found[i].Backups, m.ID)
			}
		}
	}
	if all {
		c.found = slices.DeleteFunc(c.found, func(f foundFault) bool {
			return f.missing && f.File != placeFile && !slices.ContainsFunc(f.Backups, func(id string) bool { return there[id] })
		})
	}
	return ctx.Err()
}
