//go:build !race

package e2e

import "time"

const (
	raceEnabled = false
	// patience is the unit of the tests' deadlines.
	patience = time.Second
)
