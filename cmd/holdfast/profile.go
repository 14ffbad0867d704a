package main

import (
	"log/slog"
	"math"
	"runtime/debug"

	"github.com/holdfast-ipfs/holdfast/node"
)

// The values of node.profile.
const (
	profileSmall   = "small"
	profileDefault = "default"
	profileLarge   = "large"
)

// profile is what the server takes of a machine. docs/benchmarks.md has what
// each holds while it is idle.
type profile struct {
	limits node.Limits
	// gcPercent and memoryLimit are for Go's collector. The limit is a soft one,
	// in bytes: near it the collector works harder.
	gcPercent   int
	memoryLimit uint64
}

// newProfile fits a profile to a machine. The name was checked. What is not
// given to Go is for the pages of the database, which it maps.
func newProfile(name string, m machine) profile {
	// HTTP may have half of the files, and the database wants some.
	files := int(min(m.files, math.MaxInt32)) / 4
	switch name {
	case profileSmall: // 512 MiB, of which the system has its part
		memory := min(m.memory, 1<<30) // small on a large host, too
		return profile{
			limits: node.Limits{
				Memory: max(memory/4, 64<<20), Files: files,
				ConnLow: 32, ConnHigh: 96, // Kubo's own
				BlockReaders: 4, SendWorkers: 16, OutstandingBytes: 1 << 20,
			},
			gcPercent:   50, // a third more work for a quarter less memory
			memoryLimit: memory / 2,
		}
	case profileLarge: // of its own, with many clients
		return profile{
			limits: node.Limits{
				Memory: m.memory / 2, Files: files,
				ConnLow: 1000, ConnHigh: 2000, // 200 MB of connections
				BlockReaders: 64, SendWorkers: 128, OutstandingBytes: 16 << 20,
			},
			gcPercent:   100,
			memoryLimit: m.memory / 4 * 3,
		}
	}
	return profile{
		limits: node.Limits{
			Memory: min(m.memory/4, 4<<30), Files: files,
			ConnLow: 96, ConnHigh: 192,
			BlockReaders: 16, SendWorkers: 32, OutstandingBytes: 4 << 20,
		},
		gcPercent:   100,
		memoryLimit: m.memory / 4 * 3,
	}
}

// apply is for the whole process: it sets what Go's collector goes by, but
// nothing that the operator set for Go by GOGC and GOMEMLIMIT.
func (p profile) apply(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(p.gcPercent)
	}
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(min(p.memoryLimit, math.MaxInt64)))
	}
}

// log states in a line what the server goes by.
func (p profile) log(log *slog.Logger, name string, m machine, httpConnections, workers int) {
	log.Info("limits", "profile", name,
		"memory", roughSize(m.memory), "open_files", m.files,
		"heap_limit", heapLimit(),
		"peers_memory", roughSize(p.limits.Memory), "peers_files", p.limits.Files,
		"peers", p.limits.ConnHigh, "http_connections", httpConnections, "pin_workers", workers)
}

// heapLimit is the memory limit of Go's collector, for people.
func heapLimit() string {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return "none"
	}
	return roughSize(uint64(limit))
}

// profileDefaults changes defaults to those of a profile; what is not the
// profile's stays.
func profileDefaults(c *Config, profile string) {
	if profile == profileSmall {
		c.Pin.Workers = 4 // each has batches of 8 MiB in hand, and remembers what it saw
	}
}
