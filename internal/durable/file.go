// Package durable writes files so that they are there whole or not at all.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// WriteFile writes a file with data. Once it returns nil the file survives power loss. Until
// then the path has what it had before.
//
// The data is first written to a file with the name temp in the same directory. A * in temp
// stands for something random. Without a *, an existing file of that name is overwritten; that
// is for callers that have locked the directory. After an error the temp file is removed. A
// crash may leave it.
func WriteFile(path, temp string, data []byte, mode fs.FileMode) (err error) {
	dir := filepath.Dir(path)
	var f *os.File
	if strings.Contains(temp, "*") {
		f, err = os.CreateTemp(dir, temp)
	} else {
		f, err = os.OpenFile(filepath.Join(dir, temp), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncDir(dir)
}

// SyncDir makes the names in a directory survive power loss.
func SyncDir(dir string) error { return Sync(dir) }

// Sync makes a file, or the names in a directory, survive power loss.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
