package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
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

// Check reads every file of every backup: each must have its SHA-256, each block its hash, and
// each pack as many blocks as its manifest says. A backup that was made without something that
// could not be read is a fault, too. fault is called with each fault; its error ends the check. Errors: those of [List]; a damaged file is none.
func Check(ctx context.Context, p Place, k *Key, progress func(Progress), fault func(Fault) error) (Checked, error) {
	var c Checked
	all, err := List(ctx, p, k)
	if err != nil && len(all) == 0 {
		return c, err
	}
	report := func(file string, err error, backups ...string) error {
		c.Faults++
		return fault(Fault{file, err.Error(), backups})
	}
	if err != nil {
		if err := report(manifestFile, err); err != nil {
			return c, err
		}
	}
	c.Backups = len(all)
	for _, m := range all {
		if m.DamagedBlocks+m.DamagedRecords == 0 {
			continue
		}
		lacks := fmt.Errorf("it lacks %d blocks and %d records, which could not be read when it was made", m.DamagedBlocks, m.DamagedRecords)
		if err := report(m.ID+"/"+manifestFile+k.suffix(), lacks, m.ID); err != nil {
			return c, err
		}
	}
	files, users := []File{}, make(map[string][]string)
	packs := make(map[string]*packCheck)
	for _, m := range all {
		for _, f := range m.files() {
			if users[f.Name] == nil {
				files = append(files, f)
			}
			users[f.Name] = append(users[f.Name], m.ID)
		}
		for _, pk := range m.Packs {
			packs[pk.Name] = &packCheck{blocks: pk.Blocks, bytes: pk.Bytes}
		}
	}
	for i, f := range files {
		progress(Progress{Text: "reading the files", Done: uint64(i), Total: uint64(len(files))})
		if err := ctx.Err(); err != nil {
			return c, err
		}
		n, bytes, err := checkFile(ctx, p, k, f, packs[f.Name])
		c.Files++
		c.Blocks += n
		c.Bytes += bytes
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return c, ctx.Err()
		}
		if err := report(f.Name, err, users[f.Name]...); err != nil {
			return c, err
		}
	}
	return c, nil
}

// packCheck is what a pack must have.
type packCheck struct{ blocks, bytes uint64 }

// checkFile reads a file. pack is nil if it is none.
func checkFile(ctx context.Context, p Place, k *Key, f File, pack *packCheck) (blocks, bytes uint64, err error) {
	o, err := openFile(ctx, p, k, f)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("it is missing")
		}
		return 0, 0, err
	}
	defer o.close()
	if pack == nil {
		_, err := io.Copy(io.Discard, o)
		if e := o.check(); e != nil {
			return 0, 0, e
		}
		return 0, 0, err
	}
	var bad error
	err = readPack(o, func(_ multihash.Multihash, data []byte) error {
		blocks++
		bytes += uint64(len(data))
		return ctx.Err()
	}, func(c cid.Cid) { bad = errors.Join(bad, fmt.Errorf("%w: %s", errBlock, c)) })
	if e := o.check(); e != nil {
		return blocks, bytes, errors.Join(e, bad)
	}
	if err == nil && bad == nil && (blocks != pack.blocks || bytes != pack.bytes) {
		err = fmt.Errorf("it has %d blocks of %d bytes, not %d of %d", blocks, bytes, pack.blocks, pack.bytes)
	}
	return blocks, bytes, errors.Join(err, bad)
}
