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
	ProfileSmall   = "small"
	profileDefault = "default"
	profileLarge   = "large"
)

// LeastMemory is how many bytes a machine should have for a profile. A smaller one works, and spends
// its time collecting garbage while it is busy.
func LeastMemory(profile string) uint64 {
	switch profile {
	case ProfileSmall:
		return 384 << 20 // what a host of 512 MiB leaves
	case profileLarge:
		return 4 << 30 // its connections alone take 200 MB, and its batches as much
	}
	return 1 << 30
}

// Profile is how much of a machine the server uses. docs/benchmarks.md has the memory that
// an idle server takes with each profile.
type Profile struct {
	Limits node.Limits
	// gcPercent and memoryLimit are for Go's collector. The limit is soft and in bytes: near
	// it the collector works harder.
	gcPercent   int
	memoryLimit uint64
}

// NewProfile fits the profile of a name, which was checked, to a machine. The memory that Go
// does not get is for the pages of the database, which maps its files.
func NewProfile(name string, m Machine) Profile {
	// HTTP gets half of the files, peers a quarter, and the database the rest.
	files := int(min(m.Files, math.MaxInt32)) / 4
	switch name {
	case ProfileSmall: // for a host of 512 MiB, which the system needs a part of
		memory := min(m.Memory, 1<<30) // small on a large host too
		return Profile{
			Limits: node.Limits{
				Memory: max(memory/4, 64<<20), Files: files,
				ConnLow: 32, ConnHigh: 96, // Kubo's own
				BlockReaders: 4, SendWorkers: 128, OutstandingBytes: 1 << 20,
			},
			gcPercent:   50, // a third more work for a quarter less memory
			memoryLimit: memory / 2,
		}
	case profileLarge: // for a host that serves nothing else, with many clients
		return Profile{
			Limits: node.Limits{
				Memory: m.Memory / 2, Files: files,
				ConnLow: 1000, ConnHigh: 2000, // 200 MB of connections
				BlockReaders: 64, SendWorkers: 1024, OutstandingBytes: 16 << 20,
			},
			gcPercent:   100,
			memoryLimit: m.Memory / 4 * 3,
		}
	}
	return Profile{
		Limits: node.Limits{
			Memory: min(m.Memory/4, 4<<30), Files: files,
			ConnLow: 96, ConnHigh: 192,
			BlockReaders: 16, SendWorkers: 256, OutstandingBytes: 4 << 20,
		},
		gcPercent:   100,
		memoryLimit: m.Memory / 4 * 3,
	}
}

// Apply sets the percentage and the memory limit of Go's collector, for the whole process.
// If the operator set GOGC or GOMEMLIMIT, that value stays.
func (p Profile) Apply(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(p.gcPercent)
	}
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(min(p.memoryLimit, math.MaxInt64)))
	}
}

// GCPercent is the percentage that Apply sets. It is 0 if the operator set GOGC.
func (p Profile) GCPercent(getenv func(string) string) int {
	if getenv("GOGC") != "" {
		return 0
	}
	return p.gcPercent
}

// Log logs the limits of the server in one line.
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

// profileDefaults changes the defaults that depend on the profile.
func profileDefaults(c *Config, profile string) {
	if profile == ProfileSmall {
		c.Pin.Workers = 4 // each holds batches of 8 MiB, and remembers the blocks that it saw
	}
}
