package backup

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
)

const (
	placeFile    = "holdfast-backup.json"
	manifestFile = "manifest.json"
	begunFile    = "begun.json"
	recordsFile  = "records"
	blocksFile   = "blocks"
	keysDir      = "keys"
	denylistsDir = "denylists"

	// formatVersion is the form of a place that this program reads and writes.
	formatVersion = 1
	// manifestFormat is the form of the manifests that it writes. It reads the earlier ones as well. In format 2
	// no file has XXH64From. In format 1 a manifest has no hash of its own, and names neither begunFile nor
	// the order of blocks.
	manifestFormat = 3
	// maxXXH64From bounds what is kept of a file to be summed last.
	maxXXH64From = 4 << 10
)

// Manifest says what a backup is made of. Sizes and hashes of files are those of the files
// as they are in the place, sealed ones too.
type Manifest struct {
	Format   int       `json:"format"`
	ID       string    `json:"id"`       // of the run
	Begun    time.Time `json:"begun"`    // the records are as they were then
	Finished time.Time `json:"finished"` // when the manifest was written
	Version  string    `json:"version"`  // of the program
	Store    string    `json:"store"`    // which data directory it is of
	Host     string    `json:"host"`     // the name of the machine, for people
	Private  bool      `json:"private"`  // the server was in a private network
	Layout   int       `json:"layout"`   // of the records
	Run      File      `json:"run"`      // begunFile
	Records  File      `json:"records"`
	List     File      `json:"list"` // which block is in which pack
	Keys     []File    `json:"keys,omitempty"`
	// Addrs is where the node was, if its key is in the backup and it ran: multiaddrs that end
	// in /p2p/ID.
	Addrs  []string `json:"addrs,omitempty"`
	Packs  []Pack   `json:"packs"`
	Blocks uint64   `json:"blocks"` // all that the backup has
	Bytes  uint64   `json:"bytes"`  // of those
	// Denylists are the lists of unwanted content that the server had, in their order.
	Denylists []Denylist `json:"denylists,omitempty"`
	// New is what this run wrote of them.
	NewBlocks uint64 `json:"new_blocks"`
	NewBytes  uint64 `json:"new_bytes"`
	// What pins need and could not be read: the first of them, and how many there are.
	Damaged        []string `json:"damaged,omitempty"`
	DamagedBlocks  uint64   `json:"damaged_blocks,omitempty"`
	DamagedRecords uint64   `json:"damaged_records,omitempty"`
}

// File is a file of a backup.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
	XXH64  string `json:"xxh64,omitempty"` // of a pack, a list or records, in place of SHA256
	// XXH64From is how many first bytes come last in XXH64, since they are written last.
	XXH64From int `json:"xxh64_from,omitempty"`
}

// Denylist is a denylist. Its file is zstd, and may be of an earlier run.
type Denylist struct {
	File
	Path string `json:"path"` // where it was
	Sum  string `json:"sum"`  // its SHA-256 as it was there
}

// Pack is a pack, and how much of it a backup needs.
type Pack struct {
	File
	Blocks     uint64 `json:"blocks"`
	Bytes      uint64 `json:"bytes"`           // of the blocks
	Order      string `json:"order,omitempty"` // SHA-256 of the multihashes of its blocks, in their order
	UsedBlocks uint64 `json:"used_blocks"`
	UsedBytes  uint64 `json:"used_bytes"`
}

// Lacks reports whether the backup lacks something that could not be read when it was made.
func (m *Manifest) Lacks() bool { return m.DamagedBlocks+m.DamagedRecords > 0 }

// files lists all files of the backup but the manifest.
func (m *Manifest) files() []File {
	all := append([]File{m.Records, m.List}, m.Keys...)
	if m.Run.Name != "" {
		all = append(all, m.Run)
	}
	for _, d := range m.Denylists {
		all = append(all, d.File)
	}
	for _, p := range m.Packs {
		all = append(all, p.File)
	}
	return all
}

// placeInfo is what placeFile has.
type placeInfo struct {
	Text      string `json:"text"`
	Format    int    `json:"format"`
	Recipient string `json:"recipient,omitempty"` // of age; none is that nothing is sealed
}

// begunInfo is what begunFile has.
type begunInfo struct {
	Store string    `json:"store"`
	Begun time.Time `json:"begun"`
}

// idTime is the form of the time in the ID of a run.
const idTime = "20060102T150405.000Z"

// newID names a run: it sorts by the time, and after another ID, also if the clock was set
// back since.
func newID(now time.Time, after string) string {
	if last, ok := beganAt(after); ok && !now.After(last.Add(time.Millisecond)) {
		now = last.Add(time.Millisecond)
	}
	var b [4]byte
	_, _ = rand.Read(b[:]) // it never fails
	return now.UTC().Format(idTime) + "-" + hex.EncodeToString(b[:])
}

// isID reports whether a name is that of a run.
func isID(name string) bool {
	day, tail, ok := strings.Cut(name, "-")
	_, err := time.Parse(idTime, day)
	return ok && err == nil && len(tail) == 8
}

// checkPlace reads what the place says of itself. found is false if there is nothing. A place that has lost
// placeFile has backups all the same.
// Errors: ErrKey.
func checkPlace(ctx context.Context, p Place, k *Key) (found bool, err error) {
	b, err := readAll(ctx, p, placeFile, maxSmall)
	if errors.Is(err, fs.ErrNotExist) {
		return hasManifests(ctx, p, k)
	}
	if err != nil {
		return false, err
	}
	var info placeInfo
	switch err := json.Unmarshal(b, &info); {
	case err != nil:
		return false, fmt.Errorf("%s: %s is not as holdfast writes it: %w", p, placeFile, err)
	case info.Format != formatVersion:
		return false, fmt.Errorf("%s: by %s the backups are of format %d, and this version of holdfast knows %d", p, placeFile, info.Format, formatVersion)
	case info.Recipient != "" && k == nil:
		return false, fmt.Errorf("%s: %w: by %s the backups are encrypted; name the file of the key", p, ErrKey, placeFile)
	case info.Recipient == "" && k != nil:
		return false, fmt.Errorf("%s: %w: by %s the backups are not encrypted", p, ErrKey, placeFile)
	case info.Recipient != k.recipient():
		return false, fmt.Errorf("%s: %w: by %s the backups are encrypted for %s, and the key is that of %s", p, ErrKey, placeFile, info.Recipient, k.recipient())
	}
	return true, nil
}

// hasManifests looks for manifests that fit the key, as far as their names show that. Errors: ErrKey, if there
// are others.
func hasManifests(ctx context.Context, p Place, k *Key) (found bool, err error) {
	names, err := p.List(ctx, "")
	other := false
	for _, name := range names {
		base := path.Base(name)
		switch {
		case !isID(path.Dir(name)):
		case base == manifestFile+k.suffix():
			found = true
		case base == manifestFile || base == manifestFile+sealedSuffix:
			other = true
		}
	}
	if err == nil && !found && other {
		err = fmt.Errorf("%s: %w: the backups there were made with another one, or without one", p, ErrKey)
	}
	return found, err
}

// describeLost writes placeFile again if it is lost.
func describeLost(ctx context.Context, p Place, k *Key) error {
	_, err := readAll(ctx, p, placeFile, maxSmall)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b, err := describePlace(k)
	if err != nil {
		return err
	}
	return p.Commit(ctx, placeFile, b)
}

// makePlace makes a place of what is empty.
func makePlace(ctx context.Context, p Place, k *Key) error {
	names, err := p.List(ctx, "")
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return fmt.Errorf("%s is not empty, and has no backups: it has %s", p, names[0])
	}
	b, err := describePlace(k)
	if err != nil {
		return err
	}
	return p.Commit(ctx, placeFile, b)
}

// describePlace gives what placeFile has.
func describePlace(k *Key) ([]byte, error) {
	return json.MarshalIndent(placeInfo{
		Text: "Backups of a Holdfast server. Do not edit.", Format: formatVersion, Recipient: k.recipient(),
	}, "", "  ")
}

// Each yields the manifests of all backups in a place, the oldest first. One is in memory at a
// time. A manifest that cannot be read is an error among the others, a [*ManifestError]; after
// ErrNoPlace, ErrKey, or an error of the place, nothing more comes.
func Each(ctx context.Context, p Place, k *Key) iter.Seq2[*Manifest, error] {
	return func(yield func(*Manifest, error) bool) {
		found, err := checkPlace(ctx, p, k)
		if err == nil && !found {
			err = fmt.Errorf("%w at %s", ErrNoPlace, p)
		}
		var names []string
		if err == nil {
			names, err = p.List(ctx, "")
		}
		if err != nil {
			yield(nil, err)
			return
		}
		names = slices.DeleteFunc(names, func(name string) bool {
			return path.Base(name) != manifestFile+k.suffix() || !isID(path.Dir(name))
		})
		slices.Sort(names)
		for _, name := range names {
			if !yield(readManifest(ctx, p, k, path.Dir(name))) {
				return
			}
		}
	}
}

// List gives the manifests of all backups in a place, the oldest first, without their files.
// Errors: those of [Each]. A manifest that cannot be read is an error after the others were read.
func List(ctx context.Context, p Place, k *Key) (all []*Manifest, err error) {
	for m, e := range Each(ctx, p, k) {
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		m.Packs, m.Keys, m.Denylists, m.Damaged = nil, nil, nil, nil
		all = append(all, m)
	}
	return all, err
}

// ManifestError says which manifest cannot be read.
type ManifestError struct {
	ID    string // of the backup
	File  string
	Place string
	Err   error
}

func (e *ManifestError) Error() string {
	return fmt.Sprintf("read %s of %s: %v", e.File, e.Place, e.Err)
}

func (e *ManifestError) Unwrap() error { return e.Err }

// sumField stands between a manifest, without the brace that ends it, and its SHA-256.
const sumField = `,"sha256":"`

// encode gives what the file of the manifest has.
func (m *Manifest) encode() ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	b = b[:len(b)-1]
	if int64(len(b)) > maxManifest-1024 {
		return nil, fmt.Errorf("the manifest has %d bytes, and more than %d are not read", len(b), int64(maxManifest))
	}
	sum := sha256.Sum256(b)
	return append(append(append(b, sumField...), hex.EncodeToString(sum[:])...), `"}`...), nil
}

// decodeManifest reads what encode gave, or a manifest of format 1.
func decodeManifest(b []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if m.Format < 1 || m.Format > manifestFormat {
		return nil, fmt.Errorf("it is of format %d, and this version of holdfast knows %d", m.Format, manifestFormat)
	}
	if m.Format == 1 {
		return m, nil
	}
	const end = len(sumField) + 2*sha256.Size + len(`"}`)
	body := b[:max(0, len(b)-end)]
	sum := sha256.Sum256(body)
	if string(b[len(body):]) != sumField+hex.EncodeToString(sum[:])+`"}` {
		return nil, fmt.Errorf("%w: it has another SHA-256 than it says", ErrDamaged)
	}
	return m, nil
}

// readManifest reads the manifest of a run. Errors: a *ManifestError.
func readManifest(ctx context.Context, p Place, k *Key, id string) (*Manifest, error) {
	name := id + "/" + manifestFile + k.suffix()
	fail := func(err error) (*Manifest, error) {
		return nil, &ManifestError{id, name, p.String(), err}
	}
	b, err := readSealed(ctx, p, k, name, maxManifest)
	if err != nil {
		return fail(err)
	}
	m, err := decodeManifest(b)
	if err != nil {
		return fail(err)
	}
	if m.ID != id {
		return fail(fmt.Errorf("%w: it is the manifest of backup %q", ErrDamaged, m.ID))
	}
	for _, f := range m.files() {
		if !cleanName(f.Name) {
			return fail(fmt.Errorf("it names the file %q", f.Name))
		}
		if f.XXH64From < 0 || f.XXH64From > maxXXH64From {
			return fail(fmt.Errorf("%w: the sum of %s begins at %d", ErrDamaged, f.Name, f.XXH64From))
		}
	}
	return m, nil
}

// cleanName reports whether a name stays in the place: RUN/FILE, or RUN/keys/FILE.
func cleanName(name string) bool {
	run, file, ok := strings.Cut(name, "/")
	return ok && isID(run) && file != "" && path.Clean(name) == name && !strings.Contains(name, `\`) && !strings.Contains(file, "..") &&
		!strings.ContainsFunc(name, unicode.IsControl) // it is shown
}
