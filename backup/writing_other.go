//go:build !linux

package backup

import "os"

// startWriting does nothing: the system begins to write by itself, some time later.
func startWriting(*os.File) {}
