//go:build !race

package e2e

import "time"

const (
	raceEnabled = false
	// patience is the second that deadlines are counted in.
	patience = time.Second
)
