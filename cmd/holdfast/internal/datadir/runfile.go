package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/holdfast-ipfs/holdfast/internal/durable"
)

// RunFileName is the file in the data directory while a server is ready there.
const RunFileName = "run.json"

// RunFile tells scripts which server runs, and at which addresses.
type RunFile struct {
	PID     int      `json:"pid"`
	HTTP    string   `json:"http"`              // base URL, without a slash at the end
	Gateway string   `json:"gateway,omitempty"` // base URL of the gateway, if there is one
	Metrics string   `json:"metrics,omitempty"` // base URL of /metrics, if it is served
	RPC     string   `json:"rpc,omitempty"`     // of rpc.listen: unix:PATH, or a base URL
	PeerID  string   `json:"peer_id"`
	Addrs   []string `json:"addrs"` // multiaddrs that end in /p2p/ID
	// Directory is the number of the data directory ([Dir.Number]). A copied file has the
	// number of the original directory.
	Directory uint64 `json:"directory,omitempty"`
}

// WriteRunFile writes the file atomically.
func WriteRunFile(path string, r RunFile) error {
	if r.Addrs == nil {
		r.Addrs = []string{}
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	temp := RunFileName + ".tmp" // a fixed name is safe, since the directory is locked
	if err := durable.WriteFile(path, temp, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", RunFileName, err)
	}
	return nil
}

// ReadRunFile reads the file. ok reports whether the process that it names is alive: a server
// that was killed leaves its file behind.
func ReadRunFile(path string) (r RunFile, ok bool) {
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &r) != nil || r.PID <= 0 {
		return RunFile{}, false
	}
	return r, processAlive(r.PID)
}

// processAlive reports whether there is a process with that id, of whatever user.
func processAlive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
