package durable

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for temp, data := range map[string]string{"fixed.tmp": "one", ".random-*": "two", "*.tmp": ""} {
		if err := os.WriteFile(filepath.Join(dir, "fixed.tmp"), []byte("what a crash left, and longer"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(path, temp, []byte(data), 0o640); err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join(dir, "fixed.tmp"))
		got, err := os.ReadFile(path)
		if err != nil || string(got) != data {
			t.Errorf("by %s it holds %q, %v", temp, got, err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("by %s its mode is %v, %v", temp, info.Mode(), err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("by %s there are %v, %v", temp, entries, err)
		}
	}
}

// A write that fails leaves no file behind, and the old file is as it was.
func TestWriteFileFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, temp := range []string{"fixed.tmp", "*.tmp"} {
		if err := WriteFile(path, temp, []byte("data"), 0o600); err == nil {
			t.Errorf("by %s a directory was written over", temp)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("by %s there are %v, %v", temp, entries, err)
		}
	}
	if err := WriteFile(filepath.Join(dir, "none", "file"), "*", nil, 0o600); err == nil {
		t.Error("a directory was made")
	}
}
