//go:build race

package e2e

import "time"

// With the race detector everything takes several times as long.
const (
	raceEnabled = true
	unit        = 4 * time.Second
)
