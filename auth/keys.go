package auth

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

// keySize is as long as HS256's hash: RFC 7518 asks for that at least, and
// more adds nothing.
const keySize = 32

// keysVersion is of the file's layout.
const keysVersion = 1

// maxKeysFile is more than any number of keys that anybody rotates through.
const maxKeysFile = 1 << 20

// Keys sign and check tokens. They never change and may be used concurrently.
type Keys struct {
	instance string            // the iss of every token
	current  string            // kid of the key that signs
	secrets  map[string][]byte // by kid, all that are accepted
}

// String keeps the secrets out of whatever prints the keys.
func (k *Keys) String() string { return "keys of instance " + k.instance }

type keysFile struct {
	Version  int       `json:"version"`
	Instance string    `json:"instance"`
	Keys     []keyFile `json:"keys"` // the first one signs
}

type keyFile struct {
	ID     string `json:"kid"`
	Secret []byte `json:"secret"` // base64
}

// OpenKeys reads the keys at path. If no file is there it makes new ones, and
// returns only once they would survive power loss. A file that cannot be read
// or makes no sense is an error, and is left as it is: to replace the keys
// would end every token. The file is readable by its owner alone, and is made
// so again if it is not, as a restored backup may be.
//
// The caller keeps other processes from the directory meanwhile.
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
			return nil, fmt.Errorf("close token keys to others: %w", err)
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
	k, err := file.keys()
	if err != nil {
		return nil, damaged(path, err)
	}
	return k, nil
}

func damaged(path string, err error) error {
	return fmt.Errorf("the token keys in %s are damaged: restore the file from a backup, "+
		"or remove it to make new keys, which ends every token: %w", path, err)
}

func (f keysFile) keys() (*Keys, error) {
	if f.Version < 1 {
		return nil, errors.New("they have no version")
	}
	if f.Instance == "" || len(f.Keys) == 0 {
		return nil, errors.New("they are not complete")
	}
	k := &Keys{instance: f.Instance, current: f.Keys[0].ID, secrets: make(map[string][]byte)}
	for _, key := range f.Keys {
		if key.ID == "" || len(key.Secret) < keySize {
			return nil, fmt.Errorf("key %q is not complete", key.ID)
		}
		if _, twice := k.secrets[key.ID]; twice {
			return nil, fmt.Errorf("key %q is there twice", key.ID)
		}
		k.secrets[key.ID] = key.Secret
	}
	return k, nil
}

func createKeys(path string) (*Keys, error) {
	instance, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("make token keys: %w", err)
	}
	secret := make([]byte, keySize)
	rand.Read(secret) // never fails: it ends the program instead
	file := keysFile{
		Version:  keysVersion,
		Instance: instance.String(),
		Keys:     []keyFile{{ID: rand.Text()[:8], Secret: secret}},
	}
	if err := writeKeys(path, file); err != nil {
		return nil, fmt.Errorf("make token keys: %w", err)
	}
	return file.keys()
}

// writeKeys puts the whole file in place, durably, or nothing.
func writeKeys(path string, file keysFile) (err error) {
	data, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.Write(append(data, '\n')); err != nil {
		tmp.Close()
		return err
	}
	if err = tmp.Sync(); err != nil {
		tmp.Close()
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a rename in dir survive power loss.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
