//go:build !linux

package guardtest

import "testing"

// Isolated skips the test, and says so: a network of its own is made by means
// of Linux.
func Isolated(t *testing.T) bool {
	t.Helper()
	t.Skip("SKIPPED, and with it the proof that it holds: only on Linux a test can make a network of its own")
	return false
}
