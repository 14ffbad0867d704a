package auth_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/auth"
)

func TestOpenKeys(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.json")
	first, err := auth.OpenKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v; want the file alone", entries, err)
	}
	// A restored backup that others may read gets its mode back.
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := auth.OpenKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	if auth.Instance(first) != auth.Instance(again) || auth.KeyID(first) != auth.KeyID(again) {
		t.Error("opening the keys again gave others")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the keys have mode %v", info.Mode())
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, made) {
		t.Errorf("opening the keys changed them, %v", err)
	}
	other, err := auth.OpenKeys(filepath.Join(dir, "other.json"))
	if err != nil {
		t.Fatal(err)
	}
	if auth.Instance(first) == auth.Instance(other) || auth.KeyID(first) == auth.KeyID(other) {
		t.Error("two instances have the same keys")
	}
}

func TestOpenDamagedKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if _, err := auth.OpenKeys(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	good := string(data)
	for name, bad := range map[string]string{
		"empty":          "",
		"cut":            good[:len(good)/2],
		"with a tail":    good + "x",
		"no object":      "null",
		"no version":     strings.Replace(good, `"version": 1`, `"version": 0`, 1),
		"a newer layout": strings.Replace(good, `"version": 1`, `"version": 2`, 1),
		"no instance":    strings.Replace(good, `"instance": "`, `"instance": "", "x": "`, 1),
		"no keys":        `{"version":1,"instance":"a","keys":[]}`,
		"no kid":         `{"version":1,"instance":"a","keys":[{"kid":"","secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}`,
		"a short secret": `{"version":1,"instance":"a","keys":[{"kid":"k","secret":"AAAA"}]}`,
		"a key twice": `{"version":1,"instance":"a","keys":[{"kid":"k","secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},` +
			`{"kid":"k","secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}`,
	} {
		if bad == good {
			t.Fatalf("%s: the file is not changed", name)
		}
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := auth.OpenKeys(path)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v does not name the file", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != bad {
			t.Errorf("%s: the file was changed, %v", name, err)
		}
	}
	if _, err := auth.OpenKeys(filepath.Dir(path)); err == nil {
		t.Error("a directory was taken as keys")
	}
	if _, err := auth.OpenKeys(filepath.Join(path, "under-a-file")); err == nil {
		t.Error("keys were made under a file")
	}
}

// A key file with one flipped bit, any bit, is refused, or has the same keys.
func TestFlippedKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	keys, err := auth.OpenKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	token := auth.Forge(keys, nil, map[string]any{"sub": "x"})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for bit := range 8 * len(data) {
		flipped := bytes.Clone(data)
		flipped[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(path, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := auth.OpenKeys(path)
		if err != nil {
			refused++
		} else if auth.Forge(keys, nil, map[string]any{"sub": "x"}) != token {
			t.Fatalf("bit %d gives other keys:\n%s", bit, flipped)
		}
	}
	if refused < len(data) { // of eight times as many
		t.Errorf("only %d of %d flips are refused", refused, 8*len(data))
	}
}

// A file of the first form is read, and gets a checksum.
func TestKeysWithoutChecksum(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	first, err := auth.OpenKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(string(whole), ",\n  \"sum\"")
	if !found {
		t.Fatalf("there is no checksum in\n%s", whole)
	}
	if err := os.WriteFile(path, []byte(before+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := auth.OpenKeys(path)
	if err != nil || auth.KeyID(again) != auth.KeyID(first) {
		t.Fatalf("opened: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, whole) {
		t.Errorf("the file is now\n%s, %v, want\n%s", after, err, whole)
	}
}
