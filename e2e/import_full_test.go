//go:build imports

package e2e

import "testing"

// TestImport with some 5,000 pins.
func TestImportThousands(t *testing.T) { importAll(t, 1667, 60*patience) }
