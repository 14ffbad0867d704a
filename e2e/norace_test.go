//go:build !race

package e2e

import "time"

const (
	raceEnabled = false
	unit        = time.Second
)
