package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"filippo.io/age"
)

// Key seals what is written, and opens it. The nil Key does neither.
type Key struct {
	id *age.X25519Identity
}

// sealedSuffix ends the name of a sealed file.
const sealedSuffix = ".age"

// ErrKey: what is there cannot be opened with the key, or is sealed and there is no key.
var ErrKey = errors.New("the key does not fit")

// ReadKey reads the file of an age identity, as age-keygen makes it; "" is no key. Whoever
// loses the file loses the backups.
func ReadKey(path string) (*Key, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key of backups: %w", err)
	}
	ids, err := age.ParseIdentities(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("read the key of backups %s: %w", path, err)
	}
	for _, id := range ids {
		if x, ok := id.(*age.X25519Identity); ok {
			return &Key{x}, nil
		}
	}
	return nil, fmt.Errorf("read the key of backups %s: it has no X25519 identity; age-keygen makes one", path)
}

// Recipient is the public half, as it stands in a place; "" without a key.
func (k *Key) recipient() string {
	if k == nil {
		return ""
	}
	return k.id.Recipient().String()
}

// suffix ends the names of files that the key seals.
func (k *Key) suffix() string {
	if k == nil {
		return ""
	}
	return sealedSuffix
}

// seal gives what is written in the place of what is written to it. It must be closed.
func (k *Key) seal(w io.Writer) (io.WriteCloser, error) {
	if k == nil {
		return nopCloser{w}, nil
	}
	return age.Encrypt(w, k.id.Recipient())
}

// sealAll gives what is written in the place of some bytes.
func (k *Key) sealAll(b []byte) ([]byte, error) {
	if k == nil {
		return b, nil
	}
	var sealed bytes.Buffer
	sealed.Grow(len(b) + len(b)/1000 + 1024)
	w, err := k.seal(&sealed)
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	return sealed.Bytes(), err
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// open reads what was sealed.
func (k *Key) open(r io.Reader) (io.Reader, error) {
	if k == nil {
		return r, nil
	}
	o, err := age.Decrypt(r, k.id)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return o, nil
}
