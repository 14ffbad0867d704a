package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/holdfast-ipfs/holdfast/internal/durable"
)

// RunFileName is in the data directory while a server is ready there.
const RunFileName = "run.json"

// RunFile tells scripts what runs and where.
type RunFile struct {
	PID     int      `json:"pid"`
	HTTP    string   `json:"http"`              // base URL, without a slash at the end
	Gateway string   `json:"gateway,omitempty"` // the same of the gateway, if there is one
	Metrics string   `json:"metrics,omitempty"` // the same of /metrics, if it is served
	PeerID  string   `json:"peer_id"`
	Addrs   []string `json:"addrs"` // multiaddrs that end in /p2p/ID
	// Directory is the number that the file system has for the data directory. In a
	// copy of it the number is another one than the copy's.
	Directory uint64 `json:"directory,omitempty"`
}

// WriteRunFile puts a whole file in place at once.
func WriteRunFile(path string, r RunFile) error {
	if r.Addrs == nil {
		r.Addrs = []string{}
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	temp := RunFileName + ".tmp" // one name will do: the directory is locked
	if err := durable.WriteFile(path, temp, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", RunFileName, err)
	}
	return nil
}

// ReadRunFile reads the file of a server that is alive. ok is false if there
// is none; a server that was killed leaves its file behind.
func ReadRunFile(path string) (r RunFile, ok bool) {
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &r) != nil || r.PID <= 0 {
		return RunFile{}, false
	}
	return r, processAlive(r.PID)
}

// processAlive reports whether a process has that id, whosever it is.
func processAlive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
