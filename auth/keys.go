package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/internal/durable"
)

// keySize is the length of HS256's hash, in bytes. RFC 7518 asks for at least that, and
// more adds nothing.
const keySize = 32

// keysVersion is the version of the file's layout.
const keysVersion = 1

// maxKeysFile is the maximum size of the file in bytes: far more than maxKeys keys.
const maxKeysFile = 1 << 20

// maxKeys is the maximum number of keys that are kept for tokens that still live.
const maxKeys = 100

// Keys sign and check tokens. They may be used concurrently.
type Keys struct {
	path     string
	instance string // the iss of every token
	ring     atomic.Pointer[ring]
	changing sync.Mutex // held while the file is written
}

// ring is all keys that are accepted at one time. A ring never changes.
type ring struct {
	keys []keyFile // the first one signs
	byID map[string][]byte
}

// signer is the key that signs.
func (r *ring) signer() keyFile { return r.keys[0] }

// KeyInfo describes a key, without its secret.
type KeyInfo struct {
	ID      string    // the kid in the header of its tokens
	Created time.Time // UTC; the zero time if it is not known
	// Until is when sessions do not need the key any more, once another key signs.
	// Device tokens may keep it for longer. The zero time for the key that signs.
	Until time.Time
}

// List describes every key that is accepted. The first one signs.
func (k *Keys) List() []KeyInfo {
	var all []KeyInfo
	for _, key := range k.ring.Load().keys {
		all = append(all, KeyInfo{ID: key.ID, Created: key.Created, Until: key.Until})
	}
	return all
}

// has reports whether tokens that the key signed are accepted.
func (k *Keys) has(kid string) bool { return k.ring.Load().byID[kid] != nil }

// rotate makes a new key that signs. The old one is kept at least until that time. With
// alone, no older key is kept.
func (k *Keys) rotate(now, until time.Time, alone bool) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	keys := []keyFile{newKey(now)}
	if !alone {
		old := slices.Clone(k.ring.Load().keys)
		if len(old) >= maxKeys {
			return fmt.Errorf("%d keys are kept for tokens that still live; revoke old device tokens, "+
				"or end every token with the rotation", len(old))
		}
		old[0].Until = until
		keys = append(keys, old...)
	}
	return k.replace(keys)
}

// prune drops the keys that no token needs: those whose Until is over, except the keys
// that device tokens use. It returns the kids of the keys that it dropped.
func (k *Keys) prune(now time.Time, inUse []string) (dropped []string, err error) {
	k.changing.Lock()
	defer k.changing.Unlock()
	var keep []keyFile
	for i, key := range k.ring.Load().keys {
		if i == 0 || now.Before(key.Until) || slices.Contains(inUse, key.ID) {
			keep = append(keep, key)
		} else {
			dropped = append(dropped, key.ID)
		}
	}
	if len(dropped) == 0 {
		return nil, nil
	}
	return dropped, k.replace(keep)
}

// replace writes the keys to the file, and then uses them.
func (k *Keys) replace(keys []keyFile) error {
	file := keysFile{Version: keysVersion, Instance: k.instance, Keys: keys}
	r, err := file.ring()
	if err != nil {
		return err
	}
	if err := writeKeys(k.path, file); err != nil {
		return fmt.Errorf("write token keys: %w", err)
	}
	k.ring.Store(r)
	return nil
}

func newKey(now time.Time) keyFile {
	secret := make([]byte, keySize)
	rand.Read(secret) // never fails: it ends the program instead
	return keyFile{ID: rand.Text()[:8], Secret: secret, Created: now.UTC().Truncate(time.Second)}
}

// Instance is the id of the server that has the keys. It is made with the first key, and
// stays when keys are rotated.
func (k *Keys) Instance() string { return k.instance }

// String keeps the secrets out of everything that prints the keys.
func (k *Keys) String() string { return "keys of instance " + k.instance }

type keysFile struct {
	Version  int       `json:"version"`
	Instance string    `json:"instance"`
	Keys     []keyFile `json:"keys"` // the first one signs
	// Sum is what checksum returns. The first form of the file had none.
	Sum string `json:"sum,omitempty"`
}

// checksum is over everything else in the file: the SHA-256, in hex, of its JSON without
// spaces and without the sum. It is needed because a secret with a flipped bit looks like
// any other secret, and would silently end every token.
func (f keysFile) checksum() (string, error) {
	f.Sum = ""
	text, err := json.Marshal(f)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), err
}

type keyFile struct {
	ID      string    `json:"kid"`
	Secret  []byte    `json:"secret"` // base64
	Created time.Time `json:"created,omitzero"`
	// Until is as in KeyInfo.
	Until time.Time `json:"until,omitzero"`
}

// InstanceIn reads the instance id of the keys in a file, and changes nothing. It does not look whether
// the keys are good. Errors: the system's; one that says that the file makes no sense.
func InstanceIn(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read token keys: %w", err)
	}
	var file keysFile
	if err := json.Unmarshal(data, &file); err != nil {
		return "", damaged(path, err)
	}
	return file.Instance, nil
}

// OpenKeys reads the keys at path. If there is no file, it makes new keys, and returns only
// once they would survive power loss.
//
// A file that cannot be read, makes no sense or has a wrong checksum is an error. The file
// stays as it is, because replacing the keys would end every token. A file of the first
// form, without a checksum, gets one. If others than the owner may read the file, as after
// restoring a backup, OpenKeys changes its mode.
//
// The caller keeps other processes out of the directory meanwhile.
func OpenKeys(path string) (*Keys, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createKeys(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open token keys: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, fmt.Errorf("open token keys: %w", err)
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open token keys: %s is not a regular file", path)
	} else if info.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return nil, fmt.Errorf("make the token keys private: %w", err)
		}
	}
	var file keysFile
	data, err := io.ReadAll(io.LimitReader(f, maxKeysFile))
	if err != nil {
		return nil, fmt.Errorf("read token keys: %w", err)
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, damaged(path, err)
	}
	if file.Version > keysVersion {
		return nil, fmt.Errorf("the token keys in %s were written by a newer holdfast (layout %d, this one knows %d)",
			path, file.Version, keysVersion)
	}
	r, err := file.ring()
	if err != nil {
		return nil, damaged(path, err)
	}
	sum, err := file.checksum()
	switch {
	case err != nil:
		return nil, damaged(path, err)
	case file.Sum == "":
		// On a full disk it stays as it is, and the next start tries again.
		_ = writeKeys(path, file)
	case file.Sum != sum:
		return nil, damaged(path, errors.New("the checksum is wrong"))
	}
	return openedKeys(path, file.Instance, r), nil
}

func openedKeys(path, instance string, r *ring) *Keys {
	k := &Keys{path: path, instance: instance}
	k.ring.Store(r)
	return k
}

func damaged(path string, err error) error {
	return fmt.Errorf("the token keys in %s are damaged: restore the file from a backup, "+
		"or remove it to make new keys, which ends every token: %w", path, err)
}

func (f keysFile) ring() (*ring, error) {
	if f.Version < 1 {
		return nil, errors.New("they have no version")
	}
	if f.Instance == "" || len(f.Keys) == 0 {
		return nil, errors.New("they are not complete")
	}
	r := &ring{keys: f.Keys, byID: make(map[string][]byte)}
	for _, key := range f.Keys {
		if key.ID == "" || len(key.Secret) < keySize {
			return nil, fmt.Errorf("key %q is not complete", key.ID)
		}
		if _, twice := r.byID[key.ID]; twice {
			return nil, fmt.Errorf("key %q is in the file twice", key.ID)
		}
		r.byID[key.ID] = key.Secret
	}
	return r, nil
}

func createKeys(path string) (*Keys, error) {
	instance, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("make token keys: %w", err)
	}
	file := keysFile{
		Version:  keysVersion,
		Instance: instance.String(),
		Keys:     []keyFile{newKey(time.Now())},
	}
	if err := writeKeys(path, file); err != nil {
		return nil, fmt.Errorf("make token keys: %w", err)
	}
	r, err := file.ring()
	if err != nil {
		return nil, fmt.Errorf("make token keys: %w", err)
	}
	return openedKeys(path, file.Instance, r), nil
}

// writeKeys writes the whole file durably, or nothing.
func writeKeys(path string, file keysFile) (err error) {
	if file.Sum, err = file.checksum(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, filepath.Base(path)+".*.tmp", append(data, '\n'), 0o600)
}
