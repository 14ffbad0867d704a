package config

import (
	"log/slog"
	"math"
	"runtime/debug"

	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/node"
)

// The values of node.profile.
const (
	profileSmall   = "small"
	profileDefault = "default"
	profileLarge   = "large"
)

// Profile is what the server takes of a machine. docs/benchmarks.md has what
// each holds while it is idle.
type Profile struct {
	Limits node.Limits
	// gcPercent and memoryLimit are for Go's collector. The limit is a soft one,
	// in bytes: near it the collector works harder.
	gcPercent   int
	memoryLimit uint64
}

// NewProfile fits a profile to a machine. The name was checked. What is not
// given to Go is for the pages of the database, which it maps.
func NewProfile(name string, m Machine) Profile {
	// HTTP may have half of the files, and the database wants some.
	files := int(min(m.Files, math.MaxInt32)) / 4
	switch name {
	case profileSmall: // 512 MiB, of which the system has its part
		memory := min(m.Memory, 1<<30) // small on a large host, too
		return Profile{
			Limits: node.Limits{
				Memory: max(memory/4, 64<<20), Files: files,
				ConnLow: 32, ConnHigh: 96, // Kubo's own
				BlockReaders: 4, SendWorkers: 16, OutstandingBytes: 1 << 20,
			},
			gcPercent:   50, // a third more work for a quarter less memory
			memoryLimit: memory / 2,
		}
	case profileLarge: // of its own, with many clients
		return Profile{
			Limits: node.Limits{
				Memory: m.Memory / 2, Files: files,
				ConnLow: 1000, ConnHigh: 2000, // 200 MB of connections
				BlockReaders: 64, SendWorkers: 128, OutstandingBytes: 16 << 20,
			},
			gcPercent:   100,
			memoryLimit: m.Memory / 4 * 3,
		}
	}
	return Profile{
		Limits: node.Limits{
			Memory: min(m.Memory/4, 4<<30), Files: files,
			ConnLow: 96, ConnHigh: 192,
			BlockReaders: 16, SendWorkers: 32, OutstandingBytes: 4 << 20,
		},
		gcPercent:   100,
		memoryLimit: m.Memory / 4 * 3,
	}
}

// Apply is for the whole process: it sets what Go's collector goes by, but
// nothing that the operator set for Go by GOGC and GOMEMLIMIT.
func (p Profile) Apply(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(p.gcPercent)
	}
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(min(p.memoryLimit, math.MaxInt64)))
	}
}

// GCPercent is what Apply gives Go's collector for its percentage; 0 if the operator set
// GOGC, which then holds.
func (p Profile) GCPercent(getenv func(string) string) int {
	if getenv("GOGC") != "" {
		return 0
	}
	return p.gcPercent
}

// Log states in a line what the server goes by.
func (p Profile) Log(log *slog.Logger, name string, m Machine, httpConnections, workers int) {
	log.Info("limits", "profile", name,
		"memory", text.RoughSize(m.Memory), "open_files", m.Files,
		"heap_limit", heapLimit(),
		"peers_memory", text.RoughSize(p.Limits.Memory), "peers_files", p.Limits.Files,
		"peers", p.Limits.ConnHigh, "http_connections", httpConnections, "pin_workers", workers)
}

// heapLimit is the memory limit of Go's collector, for people.
func heapLimit() string {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return "none"
	}
	return text.RoughSize(uint64(limit))
}

// profileDefaults changes defaults to those of a profile; what is not the
// profile's stays.
func profileDefaults(c *Config, profile string) {
	if profile == profileSmall {
		c.Pin.Workers = 4 // each has batches of 8 MiB in hand, and remembers what it saw
	}
}
