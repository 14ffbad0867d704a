package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/tempfile"
)

// Snapshot is what is backed up: the records as they were at one instant, and the blocks
// that they link to.
type Snapshot interface {
	Layout() int
	// Records calls record for each record, in the order of keys, and block for each block
	// that is linked to, in the order of hashes. What they get is valid until they return.
	// unreadable counts records that cannot be read.
	Records(ctx context.Context, record func(key, value []byte) error, block func(h multihash.Multihash, codec uint64) error) (unreadable uint64, err error)
	// Block reads a block into buf, or into new memory if buf is too small, and compares it with its
	// hash. Errors: ErrNoBlock; ErrUnreadable; any other ends the backup.
	Block(ctx context.Context, h multihash.Multihash, buf []byte) ([]byte, error)
	// Hurt lists the DAGs that are complete, or count as such in part, and need a block that is not there.
	Hurt(ctx context.Context, h multihash.Multihash) ([]cid.Cid, error)
}

var (
	// ErrNoBlock: a block is not there.
	ErrNoBlock = errors.New("the block is not there")
	// ErrUnreadable: a block is there, and is not as it was written.
	ErrUnreadable = errors.New("the block cannot be read")
)

// Progress is how far a backup or a restore is.
type Progress struct {
	Text  string
	Done  uint64 // of Total blocks
	Total uint64 // zero is not known
}

// Config says how a backup is made.
type Config struct {
	Place   Place
	Key     *Key              // nil leaves everything readable
	Store   string            // which data directory it is of, the same each time
	Host    string            // the name of the machine, for people
	Private bool              // the server is in a private network
	Version string            // of the program
	Temp    string            // a directory for lists of blocks and records, some 100 bytes a block
	Keys    map[string][]byte // files that make the server who it is; nil is none
	Addrs   []string          // where its node is; nil is not known
	// Denylists are the paths of the lists of unwanted content, in their order. One that is
	// gone is left out.
	Denylists []string
	// Again says that the place had backups. If it has none any more, Run fails with ErrNoPlace, and does
	// not begin anew: a disk may not be mounted.
	Again  bool
	Logger *slog.Logger
	Now    func() time.Time
	// Room fails if there is no room to write so many bytes to the place, and TempRoom, to Temp. Nil
	// never does.
	Room     func(size int64) error
	TempRoom tempfile.Room
	// Progress is told how far it is, by one goroutine; nil is nobody.
	Progress func(Progress)
}

// sparse: a pack is not used any more once a backup needs less than a 1/sparse of its bytes;
// what it needs of it is written anew.
const sparse = 2

// readAhead is how many blocks are read and hashed while others are written.
const readAhead = 8

// maxDamagedNamed is how many damaged blocks a manifest names.
const maxDamagedNamed = 1000

// Run makes a backup. Only what no backup of the same place has is written. One runs at a
// time for a store. When it fails it has changed nothing that counts, and removes what it
// wrote; what a crash leaves the next run removes. Errors: ErrKey; ErrNoPlace; the snapshot's; the place's.
func Run(ctx context.Context, cfg Config, take func() (Snapshot, error)) (*Manifest, error) {
	r := &run{Config: cfg, m: &Manifest{
		Format: manifestFormat, Version: cfg.Version, Store: cfg.Store, Host: cfg.Host, Private: cfg.Private, Packs: []Pack{},
	}}
	if cfg.Room != nil {
		r.Place = roomy{cfg.Place, cfg.Room}
	}
	if r.Progress == nil {
		r.Progress = func(Progress) {}
	}
	if err := r.run(ctx, take); err != nil {
		r.undo(ctx)
		return nil, fmt.Errorf("backup to %s: %w", cfg.Place, err)
	}
	return r.m, nil
}

// roomy is a place that is written to only while there is room.
type roomy struct {
	Place
	room func(int64) error
}

func (p roomy) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	if err := p.room(size); err != nil {
		return err
	}
	return p.Place.Put(ctx, name, size, r)
}

func (p roomy) Commit(ctx context.Context, name string, data []byte) error {
	if err := p.room(int64(len(data))); err != nil {
		return err
	}
	return p.Place.Commit(ctx, name, data)
}

type run struct {
	Config
	m     *Manifest
	last  *Manifest       // the backup that this one goes on from; nil if there is none
	there map[string]bool // the files of the place
}

// undoTime is how long it may take to remove what a run left that failed.
const undoTime = time.Minute

// undo removes what the run wrote, as far as it can: the next run removes the rest.
func (r *run) undo(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if r.m.ID == "" {
		return
	}
	// The manifest first: it may be there although writing it failed, and must not name what
	// is gone.
	err := r.Place.Remove(ctx, r.m.ID+"/"+manifestFile+r.Key.suffix())
	var names []string
	if err == nil {
		names, err = r.Place.List(ctx, r.m.ID+"/")
	}
	for _, name := range names {
		err = errors.Join(err, r.Place.Remove(ctx, name))
	}
	if err != nil {
		r.Logger.Warn("what a failed backup wrote cannot be removed now", "place", r.Place.String(), "backup", r.m.ID, "err", err)
	}
}

func (r *run) run(ctx context.Context, take func() (Snapshot, error)) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	snapshot, err := take()
	if err != nil {
		return err
	}
	r.m.Begun, r.m.Layout = r.Now().UTC(), snapshot.Layout()
	if err := r.copy(ctx, snapshot); err != nil {
		return err
	}
	for name, b := range r.Keys {
		f, err := putBytes(ctx, r.Place, r.Key, r.m.ID+"/"+keysDir+"/"+name, b)
		if err != nil {
			return err
		}
		r.m.Keys = append(r.m.Keys, f)
		r.m.Addrs = r.Addrs
	}
	if err := r.denylists(ctx); err != nil {
		return err
	}
	if err := r.allThere(ctx); err != nil {
		return err
	}
	r.m.Finished = r.Now().UTC()
	b, err := r.m.encode()
	if err == nil {
		b, err = r.Key.sealAll(b)
	}
	if err != nil {
		return err
	}
	return r.Place.Commit(ctx, r.m.ID+"/"+manifestFile+r.Key.suffix(), b)
}

// allThere fails if a file is gone that the manifest will name: somebody else may have pruned.
func (r *run) allThere(ctx context.Context) error {
	there, err := r.list(ctx)
	if err != nil {
		return err
	}
	for _, f := range r.m.files() {
		if there[f.Name] {
			continue
		}
		// Some buckets list late what they have.
		file, err := r.Place.Get(ctx, f.Name)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s was removed while the backup was made", f.Name)
		}
		if err != nil {
			return err
		}
		_ = file.Close() // it was only looked for
	}
	return nil
}

// list gives the names of all files in the place.
func (r *run) list(ctx context.Context) (map[string]bool, error) {
	names, err := r.Place.List(ctx, "")
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	return there, err
}

// begin makes the place if need be, removes what cut-off runs of this store left, and finds
// the backup to go on from.
func (r *run) begin(ctx context.Context) error {
	found, err := checkPlace(ctx, r.Place, r.Key)
	if err != nil {
		return err
	}
	if !found && r.Again {
		return fmt.Errorf("%w any more", ErrNoPlace)
	}
	if !found {
		if err := makePlace(ctx, r.Place, r.Key); err != nil {
			return err
		}
	}
	newest, needed := "", make(map[string]bool)
	for m, e := range Each(ctx, r.Place, r.Key) {
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		newest = m.ID
		if m.Store == r.Store {
			r.last = m
		}
		need(needed, m)
	}
	if err != nil {
		r.Logger.Warn("a backup at the same place cannot be read, and is not gone on from", "place", r.Place.String(), "err", err)
	} else if err := errors.Join(describeLost(ctx, r.Place, r.Key), r.clear(ctx, needed)); err != nil {
		return err
	}
	r.m.ID = newID(r.Now(), newest)
	b, err := json.Marshal(begunInfo{Store: r.Store, Begun: r.Now().UTC()})
	if err == nil {
		r.m.Run, err = putBytes(ctx, r.Place, r.Key, r.m.ID+"/"+begunFile, b)
	}
	return err
}

// denylists writes the denylists that the last backup does not have.
func (r *run) denylists(ctx context.Context) error {
	for i, path := range r.Denylists {
		d, err := r.denylist(ctx, path, fmt.Sprintf("%s/%s/%06d%s", r.m.ID, denylistsDir, i+1, r.Key.suffix()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("denylist %s: %w", path, err)
		}
		r.m.Denylists = append(r.m.Denylists, d)
	}
	return nil
}

func (r *run) denylist(ctx context.Context, path, name string) (d Denylist, err error) {
	f, err := os.Open(path)
	if err != nil {
		return d, err
	}
	defer f.Close()
	sum := sha256.New()
	list, err := r.newScratch(name, true)
	if err != nil {
		return d, err
	}
	defer list.close()
	if _, err := io.Copy(io.MultiWriter(list.w, sum), f); err != nil {
		return d, err
	}
	d.Path, d.Sum = path, hex.EncodeToString(sum.Sum(nil))
	if r.last != nil {
		i := slices.IndexFunc(r.last.Denylists, func(o Denylist) bool { return o.Sum == d.Sum && r.there[o.Name] })
		if i >= 0 {
			d.File = r.last.Denylists[i].File
			return d, nil
		}
	}
	d.File, err = list.put(ctx, r.Place)
	return d, err
}
