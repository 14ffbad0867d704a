package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
)

// A key file with any one bit flipped is refused, in the form that is written and in the
// first one: none gives another key, or one with which nobody can connect.
func TestFlippedIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	want, err := loadIdentity(path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old, err := crypto.MarshalPrivateKey(want)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"with a checksum": data, "the first form": old} {
		t.Run(name, func(t *testing.T) {
			read := func(data []byte) (crypto.PrivKey, error) {
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
				return loadIdentity(path)
			}
			if key, err := read(data); err != nil || !key.Equals(want) {
				t.Fatalf("unharmed: %v", err)
			}
			for bit := range 8 * len(data) {
				flipped := append([]byte(nil), data...)
				flipped[bit/8] ^= 1 << (bit % 8)
				if _, err := read(flipped); err == nil || !strings.Contains(err.Error(), path) ||
					!strings.Contains(err.Error(), "move it away") {
					t.Errorf("bit %d: %v", bit, err)
				}
				if after, err := os.ReadFile(path); err != nil || string(after) != string(flipped) {
					t.Fatalf("bit %d: the file was changed", bit)
				}
			}
			for cut := range data {
				if cut == len(old) {
					continue // that is the first form
				}
				if _, err := read(data[:cut]); err == nil {
					t.Errorf("cut to %d bytes, it is read", cut)
				}
			}
		})
	}
}

// A version that knows no checksum reads the file, too.
func TestIdentityIsLibp2ps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	want, err := loadIdentity(path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := crypto.UnmarshalPrivateKey(data); err != nil || !got.Equals(want) {
		t.Errorf("libp2p reads %v, %v", got, err)
	}
}
