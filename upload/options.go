package upload

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/boxo/verifcid"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-cidutil"
	"github.com/multiformats/go-multihash"
)

// Profile is what an import does where nothing else is asked for.
type Profile struct {
	Name       string
	cidVersion *int  // nil: 0, or 1 for other hashes than sha2-256
	rawLeaves  *bool // nil: if the CID version is 1
	chunker    string
	fileLinks  int
	estimation uio.SizeEstimationMode
}

// Default is what Kubo does without a profile.
var Default = Profile{Name: "default", chunker: "size-262144", fileLinks: helpers.DefaultLinksPerBlock, estimation: uio.SizeEstimationLinks}

// Profiles lists the profiles of Kubo 0.43 that are about imports, under all their names, and
// Default.
func Profiles() []Profile {
	legacy := Profile{Name: "unixfs-v0-2015", cidVersion: new(0), rawLeaves: new(false), chunker: "size-262144", fileLinks: 174, estimation: uio.SizeEstimationLinks}
	alias := legacy
	alias.Name = "legacy-cid-v0"
	modern := Profile{Name: "unixfs-v1-2025", cidVersion: new(1), rawLeaves: new(true), chunker: "size-1048576", fileLinks: 1024, estimation: uio.SizeEstimationBlock}
	return []Profile{Default, modern, legacy, alias}
}

// ProfileNamed finds a profile; "" is Default. ok is false if there is none of the name.
func ProfileNamed(name string) (p Profile, ok bool) {
	if name == "" {
		return Default, true
	}
	for _, p := range Profiles() {
		if p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}

// Flags are the flags of Kubo's `add` that change the CID. Nil, "" and 0 are not given.
type Flags struct {
	CIDVersion        *int
	RawLeaves         *bool
	Hash              string
	Chunker           string
	Trickle           bool
	MaxFileLinks      int
	MaxDirectoryLinks int
	MaxHAMTFanout     int
	Inline            bool
	InlineLimit       int // 0 is 32
	PreserveMode      bool
	PreserveMtime     bool
	Mode              os.FileMode // of everything; 0 is not given
	Mtime             time.Time   // of everything; zero is not given
	SkipEmptyDirs     bool
}

// Options say how files become blocks. [Flags.Resolve] makes them.
type Options struct {
	builder           cid.Builder
	rawLeaves         bool
	chunker           string
	trickle           bool
	fileLinks         int
	maxDirectoryLinks int
	fanout            int
	estimation        uio.SizeEstimationMode
	preserveMode      bool
	preserveMtime     bool
	mode              os.FileMode
	mtime             time.Time
	skipEmptyDirs     bool
}

const (
	defaultInline = 32
	defaultFanout = 256
	maxFanout     = 1024
	// maxLinks bounds links in a node of a file: with more, the node would be too large to
	// be sent to anybody, and its links take memory until it is made.
	maxLinks = 16 << 10
)

const (
	// minRabin is the least average of rabin-N: smaller chunks than some hundred bytes are of no use.
	minRabin = 256
	// maxRabin is the largest: the longest chunk is half as much again.
	maxRabin = chunk.ChunkSizeLimit / 3 * 2
)

// checkRabin refuses averages of rabin-N that are of no use.
func checkRabin(chunker string) error {
	parts := strings.Split(chunker, "-")
	if len(parts) != 2 || parts[0] != "rabin" {
		return nil
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil {
		return nil // the chunker says what is wrong with it
	}
	if n < minRabin || n > maxRabin {
		return fmt.Errorf("the average chunk of rabin can be from %d to %d bytes", minRabin, maxRabin)
	}
	return nil
}

// Resolve fills up the flags, and checks that they fit together. Errors: *InvalidError.
func (f Flags) Resolve(p Profile) (Options, error) {
	invalid := func(format string, a ...any) (Options, error) {
		return Options{}, &InvalidError{fmt.Sprintf(format, a...)}
	}
	o := Options{
		chunker: f.Chunker, trickle: f.Trickle, fileLinks: f.MaxFileLinks,
		maxDirectoryLinks: f.MaxDirectoryLinks, fanout: f.MaxHAMTFanout, estimation: p.estimation,
		preserveMode: f.PreserveMode && f.Mode == 0, preserveMtime: f.PreserveMtime && f.Mtime.IsZero(),
		mode: f.Mode, mtime: f.Mtime, skipEmptyDirs: f.SkipEmptyDirs,
	}
	if o.chunker == "" {
		o.chunker = p.chunker
	}
	if err := checkRabin(o.chunker); err != nil {
		return invalid("chunker %q: %v", f.Chunker, err)
	}
	if _, err := chunk.FromString(strings.NewReader(""), o.chunker); err != nil {
		return invalid("chunker %q: %v", f.Chunker, err)
	}
	if o.fileLinks == 0 {
		o.fileLinks = p.fileLinks
	}
	if o.fileLinks < 2 || o.fileLinks > maxLinks {
		return invalid("max-file-links is %d, and can be from 2 to %d", o.fileLinks, maxLinks)
	}
	if o.maxDirectoryLinks < 0 {
		return invalid("max-directory-links is negative")
	}
	if o.fanout == 0 {
		o.fanout = defaultFanout
	}
	if o.fanout < 8 || o.fanout > maxFanout || o.fanout&(o.fanout-1) != 0 {
		return invalid("max-hamt-fanout is %d, and can be a power of 2 from 8 to %d", o.fanout, maxFanout)
	}
	raw, version := f.RawLeaves, f.CIDVersion
	if raw == nil {
		raw = p.rawLeaves
	}
	if version == nil {
		version = p.cidVersion
	}
	if f.PreserveMode || f.PreserveMtime || f.Mode != 0 || !f.Mtime.IsZero() {
		// Mode and time need a node of UnixFS, where a raw leaf has none.
		if raw != nil && *raw {
			return invalid("raw-leaves can't be used with UnixFS metadata like mode or modification time")
		}
		raw = new(false)
	}
	hash := uint64(multihash.SHA2_256)
	if name := strings.ToLower(f.Hash); name != "" {
		code, ok := multihash.Names[name]
		if !ok {
			return invalid("unrecognized hash function: %q", name)
		}
		hash = code
	}
	v := 0
	switch {
	case hash != multihash.SHA2_256 && version != nil && *version == 0:
		return invalid("CIDv0 only supports sha2-256")
	case hash != multihash.SHA2_256 && version == nil:
		v = 1
	case version != nil:
		v = *version
	}
	o.rawLeaves = v > 0
	if raw != nil {
		o.rawLeaves = *raw
	}
	prefix, err := merkledag.PrefixForCidVersion(v)
	if err != nil {
		return invalid("cid-version %d: %v", v, err)
	}
	prefix.MhType, prefix.MhLength = hash, -1
	c, err := prefix.Sum(nil)
	if err == nil {
		err = verifcid.ValidateCid(verifcid.DefaultAllowlist, c)
	}
	if err != nil {
		return invalid("hash %q: %v", f.Hash, err)
	}
	o.builder = prefix
	if f.Inline {
		limit := f.InlineLimit
		if limit == 0 {
			limit = defaultInline
		}
		if limit < 0 || limit > verifcid.DefaultMaxIdentityDigestSize {
			return invalid("inline-limit %d exceeds maximum allowed size of %d bytes", limit, verifcid.DefaultMaxIdentityDigestSize)
		}
		o.builder = cidutil.InlineBuilder{Builder: prefix, Limit: limit}
	}
	return o, nil
}
