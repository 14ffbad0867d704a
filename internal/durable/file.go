// Package durable writes files so that they are there whole or not at all.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// WriteFile puts data into a file, which survives power loss once it returns nil. Until
// then the path has what it had before. temp is the name in the same directory that the
// file is written under: a * in it stands for something random; without one it is
// written over, which is for those who have the directory locked. After an error nothing
// is left of it, but a crash may leave it.
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
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
