package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/libp2p/go-libp2p/core/crypto"
	cryptopb "github.com/libp2p/go-libp2p/core/crypto/pb"
)

// loadIdentity reads the node's private key from a file, and makes one there
// at first. The file holds libp2p's protobuf form of an Ed25519 key and is
// readable by its owner alone. What cannot be read as that is an error and is
// left as it is: a node that silently took a new identity could no longer be
// found under the addresses that it gave out.
//
// An empty path gives a key that is kept nowhere.
func loadIdentity(path string) (crypto.PrivKey, error) {
	if path == "" {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		return key, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeIdentity(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the node's identity: %w", err)
	}
	key, err := crypto.UnmarshalPrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("the node's identity in %s is damaged (%w); restore the file from a backup, or move it away to start with a new peer ID", path, err)
	}
	if key.Type() != cryptopb.KeyType_Ed25519 {
		return nil, fmt.Errorf("the node's identity in %s is a key of type %s, not Ed25519; move it away to start with a new peer ID", path, key.Type())
	}
	return key, nil
}

// makeIdentity writes a new key whole or not at all, so that a crash at first
// start leaves no half of one.
func makeIdentity(path string) (_ crypto.PrivKey, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make the node's identity: %w", err)
		}
	}()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, err
	}
	data, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".identity-*") // made with mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) // gone already if all went well
	if _, err := f.Write(data); err != nil {
		f.Close()
		return nil, err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return nil, err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if err := d.Sync(); err != nil { // the name, too
		return nil, err
	}
	return key, nil
}
