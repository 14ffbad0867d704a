package rig

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Random returns size random bytes: the same for the same seed, and different for another.
func Random(seed uint64, size int64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return io.LimitReader(rand.NewChaCha8(key), size)
}

// RandomBytes is [Random] as a slice.
func RandomBytes(seed uint64, size int) []byte {
	b := make([]byte, size)
	_, _ = io.ReadFull(Random(seed, int64(size)), b) // a ChaCha8 does not fail
	return b
}

// WriteTree makes dirs directories below root, each with files files. All files are small and
// different. With dirs 0, the files are in root itself.
func WriteTree(root string, seed uint64, dirs, files int) error {
	parents := []string{root}
	if dirs > 0 {
		parents = parents[:0]
		for i := range dirs {
			parents = append(parents, filepath.Join(root, fmt.Sprintf("d%03d", i)))
		}
	}
	for i, dir := range parents {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a tree: %w", err)
		}
		for j := range files {
			body := fmt.Sprintf("seed %d, directory %d, file %d\n", seed, i, j)
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%05d", j)), []byte(body), 0o644); err != nil {
				return fmt.Errorf("make a tree: %w", err)
			}
		}
	}
	return nil
}
