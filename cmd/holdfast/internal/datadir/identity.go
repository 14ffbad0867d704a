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

// KeyFile is a file of the data directory that has an identity of the server. If the file is
// missing, a new one is made, and the server has another identity. The operator should
// notice that, and also a file that was replaced. So the database keeps the identity that was
// used last.
type KeyFile struct {
	name  string
	last  datastore.Key // where the database has the identity
	lost  string        // the warning if the file was missing
	other string        // the warning if it is another file than before
	hint  string
}

// TokenKeys is the file with the keys that sign tokens.
func TokenKeys() KeyFile {
	return KeyFile{
		name: TokenKeysFile,
		last: datastore.NewKey("/holdfast/token-keys"),
		lost: "tokens.key was missing, and new keys were made: every earlier token is refused now, those of Kubos too",
		other: "tokens.key is not the file that this directory was last used with: tokens that were made with the other file " +
			"are refused, those of Kubos too",
		hint: "to have the old tokens back, stop the server and restore the file from a backup; " +
			"else make new tokens with `holdfast token create`",
	}
}

// NodeKey is the file with the key of the node.
func NodeKey() KeyFile {
	return KeyFile{
		name:  NodeKeyFile,
		last:  datastore.NewKey("/holdfast/peer"),
		lost:  "node.key was missing, and a new one was made: for other nodes this server is another peer now",
		other: "node.key is not the file that this directory was last used with: for other nodes this server is another peer now",
		hint: "to be the old peer again, stop the server and restore the file from a backup; " +
			"else give the new address to everybody who uses the old one",
	}
}

// PublicNetwork is the identity of the public network. That of a private network is the
// fingerprint of its key.
const PublicNetwork = "public"

// SwarmKey is the file with the key of a private network, which is never made. Any 64 digits
// are a key. So a damaged key can be noticed only because it differs from the last one.
func SwarmKey(configured string) KeyFile {
	name := SwarmKeyName
	if configured != "" {
		name = configured
	}
	const other = "the node is in another network than when this directory was last used: " +
		"its swarm key has changed, is new, or is gone. Only nodes of the same network can connect"
	return KeyFile{
		name:  name,
		last:  datastore.NewKey("/holdfast/network"),
		lost:  other,
		other: other,
		hint:  "if this is a mistake, stop the server and put the swarm key of the other nodes in place",
	}
}

// path is the path of the file, for people.
func (k KeyFile) path(d *Dir) string {
	if filepath.IsAbs(k.name) {
		return k.name
	}
	return filepath.Join(d.Shown, k.name)
}

// Missing reports whether there is no such file. Ask before the file is made.
func (k KeyFile) Missing(d *Dir) bool {
	_, err := os.Stat(d.File(k.name))
	return errors.Is(err, fs.ErrNotExist)
}

// Check compares the identity in the file with the one that was used last. It logs a warning
// if they differ, and keeps the new one. missing is what Missing reported.
func (k KeyFile) Check(ctx context.Context, ds datastore.Datastore, d *Dir, identity string, missing bool, log *slog.Logger) error {
	was, err := ds.Get(ctx, k.last)
	if err != nil && !errors.Is(err, datastore.ErrNotFound) {
		return fmt.Errorf("read the last identity of %s: %w", k.name, err)
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
		return fmt.Errorf("keep the identity of %s: %w", k.name, err)
	}
	return nil
}
