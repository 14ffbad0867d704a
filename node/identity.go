package node

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/libp2p/go-libp2p/core/crypto"
	cryptopb "github.com/libp2p/go-libp2p/core/crypto/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/internal/durable"
)

// The file of the node's identity holds libp2p's protobuf form of an Ed25519 key, and
// behind it a field that libp2p passes over: number 15, fixed64, the first 8 bytes of the
// SHA-256 of what is before it. The first form of the file had no such field. It is still
// read: whether it is whole is known by the key itself, whose public half follows from the
// private one.

// sumField is the field's number and its type, fixed64.
const sumField = 15<<3 | 1

// withSum adds the checksum to a key in libp2p's form.
func withSum(key []byte) []byte {
	sum := sha256.Sum256(key)
	return slices.Concat(key, []byte{sumField}, sum[:8])
}

// loadIdentity reads the node's private key from a file, and makes the file if there is
// none. Only its owner can read the file. If it is no key, or a bit of it has changed, that
// is an error, and the file stays as it is: a node that silently took a new identity could
// no longer be found at the addresses that it gave out, and nobody could connect to one
// whose public half does not belong to its private one.
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
	key, err := parseIdentity(data)
	if other := (*otherKeyError)(nil); errors.As(err, &other) {
		return nil, fmt.Errorf("the node's identity in %s is %w; move it away to start with a new peer ID", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("the node's identity in %s is damaged (%w); restore the file from a backup, or move it away to start with a new peer ID", path, err)
	}
	return key, nil
}

// PeerIDIn reads the peer ID of the identity in a file. It is "" if there is no file.
func PeerIDIn(path string) (string, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	key, err := loadIdentity(path)
	if err != nil {
		return "", err
	}
	id, err := peer.IDFromPrivateKey(key)
	return id.String(), err
}

// otherKeyError: it is a key of a type that is not used here.
type otherKeyError struct{ keyType cryptopb.KeyType }

func (e *otherKeyError) Error() string {
	return fmt.Sprintf("a key of type %s, not Ed25519", e.keyType)
}

func parseIdentity(data []byte) (crypto.PrivKey, error) {
	key, err := crypto.UnmarshalPrivateKey(data)
	if err != nil {
		return nil, err
	}
	if key.Type() != cryptopb.KeyType_Ed25519 {
		return nil, &otherKeyError{key.Type()}
	}
	raw, err := key.Raw()
	if err != nil {
		return nil, err
	}
	if seed := raw[:ed25519.SeedSize]; !bytes.Equal(ed25519.NewKeyFromSeed(seed), raw) {
		return nil, errors.New("its public half is not that of its private one")
	}
	plain, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return nil, err
	}
	if behind, ok := bytes.CutPrefix(data, plain); ok && len(behind) > 0 && !bytes.Equal(data, withSum(plain)) {
		return nil, errors.New("its checksum is wrong")
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
	if err := durable.WriteFile(path, ".identity-*", withSum(data), 0o600); err != nil {
		return nil, err
	}
	return key, nil
}
