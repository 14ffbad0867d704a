package datadir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ipfs/go-datastore"
)

// KeyFile is a file of the data directory that makes the server who it is, and
// that is made anew if it is missing: without it there is no server. That it was
// lost, or is another one than before, is for the operator to notice. So the
// database, beside which it lies, knows whose it was last.
type KeyFile struct {
	name string
	last datastore.Key // where the database has the identity
	// lost says what it means that the file was missing, and other what it
	// means that it is another one.
	lost, other string
	hint        string
}

func TokenKeys() KeyFile {
	return KeyFile{
		name: TokenKeysFile,
		last: datastore.NewKey("/holdfast/token-keys"),
		lost: "tokens.key was missing, and new keys were made: every token from before is refused now, those of Kubos too",
		other: "tokens.key is another one than at the last use of this directory: tokens that were made with that one " +
			"are refused, those of Kubos too",
		hint: "to have the old tokens back, stop the server and put the file back from a backup; " +
			"else `holdfast token create` makes new ones",
	}
}

func NodeKey() KeyFile {
	return KeyFile{
		name:  NodeKeyFile,
		last:  datastore.NewKey("/holdfast/peer"),
		lost:  "node.key was missing, and a new one was made: to other nodes this is another peer now",
		other: "node.key is another one than at the last use of this directory: to other nodes this is another peer now",
		hint: "to be the old peer again, stop the server and put the file back from a backup; " +
			"else tell those who have its address the new one",
	}
}

// PublicNetwork is the database's word for the network that is everybody's; that of a private
// one is its key's fingerprint.
const PublicNetwork = "public"

// SwarmKey is the key of a private network, which is never made. Each 64 digits are a
// key, so that a damaged one is seen only by its not being the one that it was.
func SwarmKey(configured string) KeyFile {
	name := SwarmKeyName
	if configured != "" {
		name = configured
	}
	const other = "the node is in another network than at the last use of this directory: " +
		"its swarm key is another one, is new, or is gone. Only nodes with the same key, or the same lack of one, can connect"
	return KeyFile{
		name:  name,
		last:  datastore.NewKey("/holdfast/network"),
		lost:  other,
		other: other,
		hint:  "if you did not mean that, stop the server and put the file as it is with the other nodes of the network",
	}
}

// path is where the file is, as people know it.
func (k KeyFile) path(d *Dir) string {
	if filepath.IsAbs(k.name) {
		return k.name
	}
	return filepath.Join(d.Shown, k.name)
}

// Missing reports whether the file is not there, before it is made.
func (k KeyFile) Missing(d *Dir) bool {
	_, err := os.Stat(d.File(k.name))
	return errors.Is(err, fs.ErrNotExist)
}

// Check compares the identity that the file gives with the one that was last
// used, warns if they are not the same, and keeps the new one. missing is what
// the method of that name said.
func (k KeyFile) Check(ctx context.Context, ds datastore.Datastore, d *Dir, identity string, missing bool, log *slog.Logger) error {
	was, err := ds.Get(ctx, k.last)
	if err != nil && !errors.Is(err, datastore.ErrNotFound) {
		return fmt.Errorf("read whose %s was: %w", k.name, err)
	}
	if string(was) == identity {
		return nil
	}
	if len(was) > 0 {
		what := k.other
		if missing {
			what = k.lost
		}
		log.Warn(what, "file", k.path(d), "was", string(was), "is", identity, "hint", k.hint)
	}
	if err := ds.Put(ctx, k.last, []byte(identity)); err != nil {
		return fmt.Errorf("note whose %s is: %w", k.name, err)
	}
	return nil
}
