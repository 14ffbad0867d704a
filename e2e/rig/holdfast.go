package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Data is a data directory of Holdfast, and how to run the binary on it.
type Data struct {
	Dir string
	// Env is more environment for every run, such as HOLDFAST_LOG_LEVEL=debug. It wins
	// over what the rig sets itself.
	Env map[string]string
	// As is the user to run the binary as. Nil is the user of this process.
	As *syscall.Credential
	// Through is a command that runs the binary, such as one that limits its memory. The
	// binary and its arguments are added to it. Nil is none.
	Through []string
	rig     *Rig
}

// RunFile is DATA/run.json.
type RunFile struct {
	PID     int      `json:"pid"`
	HTTP    string   `json:"http"`
	Gateway string   `json:"gateway"`
	Metrics string   `json:"metrics"`
	RPC     string   `json:"rpc"`
	PeerID  string   `json:"peer_id"`
	Addrs   []string `json:"addrs"`
}

// Server is a running `holdfast serve`.
type Server struct {
	*Process
	RunFile
	Data *Data
}

// NewData names a data directory that does not exist yet.
func (r *Rig) NewData() (*Data, error) {
	dir, err := r.TempDir("data")
	if err != nil {
		return nil, err
	}
	return r.DataAt(filepath.Join(dir, "data")), nil
}

// DataAt names a data directory, which may exist.
func (r *Rig) DataAt(dir string) *Data { return &Data{Dir: dir, Env: map[string]string{}, rig: r} }

// RunPath is where the data directory's run.json is while a server runs.
func (d *Data) RunPath() string { return filepath.Join(d.Dir, "run.json") }

// ExtraEnv is the variable with more environment for every holdfast that a rig runs: KEY=VALUE, each
// on a line. It wins over what the rig sets itself, and [Data].Env wins over it.
const ExtraEnv = "HOLDFAST_E2E_ENV"

func (d *Data) env() []string {
	env := map[string]string{
		"PATH":                          os.Getenv("PATH"),
		"HOME":                          filepath.Dir(d.Dir),
		"HOLDFAST_DATA":                 d.Dir,
		"HOLDFAST_HTTP_LISTEN":          "127.0.0.1:0",
		"HOLDFAST_NODE_LISTEN":          "/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/udp/0/quic-v1",
		"HOLDFAST_NODE_ROUTING":         "none",
		"HOLDFAST_NODE_BOOTSTRAP":       "",
		"HOLDFAST_NODE_NAT_PORT_MAP":    "false",
		"HOLDFAST_STORE_MIN_FREE_SPACE": "64MiB",
		"HOLDFAST_METRICS_LISTEN":       "127.0.0.1:0",
	}
	for line := range strings.Lines(os.Getenv(ExtraEnv)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			env[k] = v
		}
	}
	maps.Copy(env, d.Env)
	var list []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}

func (d *Data) command(ctx context.Context, args ...string) *exec.Cmd {
	line := append(append(slices.Clone(d.Through), d.rig.Holdfast), args...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = d.env()
	if d.As != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: d.As}
	}
	return cmd
}

// Run runs `holdfast args...` on the directory, with stdin if that is not nil. It returns what the
// command printed to stdout. The error has what it printed to stderr.
func (d *Data) Run(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	cmd := d.command(ctx, args...)
	cmd.Stdin = stdin
	out, errs, err := output(cmd)
	printed := errs
	if len(args) < 2 || args[0] != "token" || args[1] != "create" { // its output is a token
		printed += out
	}
	if err := d.keep(printed); err != nil {
		return out, err
	}
	return out, err
}

// keep adds what a command printed to a file beside the directory.
func (d *Data) keep(printed string) error {
	f, err := os.OpenFile(filepath.Join(filepath.Dir(d.Dir), commandsLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep what was printed: %w", err)
	}
	_, err = f.WriteString(printed)
	return errors.Join(err, f.Close())
}

// AddUser makes an account with `holdfast user add`.
func (d *Data) AddUser(ctx context.Context, email, password string) error {
	_, err := d.Run(ctx, strings.NewReader(password+"\n"), "user", "add", email, "--password-stdin")
	return err
}

// AddToken makes a device token with `holdfast token create`.
func (d *Data) AddToken(ctx context.Context, email, name string) (string, error) {
	out, err := d.Run(ctx, nil, "token", "create", email, "--name", name)
	return strings.TrimSpace(out), err
}

// Launch starts a server. It does not wait until the server is ready.
func (d *Data) Launch() (*Process, error) {
	log := filepath.Join(filepath.Dir(d.Dir), serverLog) // kept over restarts
	return d.rig.starter.start("holdfast serve", log, d.command(context.Background(), "serve"))
}

// Ready waits until the process is a server and says that it is ready.
func (d *Data) Ready(ctx context.Context, p *Process) (*Server, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("not ready in a minute"))
	defer cancel()
	s := &Server{Process: p, Data: d}
	err := Poll(ctx, 5*time.Millisecond, func() (bool, error) {
		if err := p.Ended(); err != nil {
			return false, err
		}
		b, err := os.ReadFile(d.RunPath())
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		s.RunFile = RunFile{}
		if err := json.Unmarshal(b, &s.RunFile); err != nil {
			return false, fmt.Errorf("run.json is not whole: %w: %q", err, b)
		}
		return s.RunFile.PID == p.PID(), nil // else a server that was killed left the file
	})
	if err != nil {
		return nil, fmt.Errorf("wait for holdfast serve: %w\n%s", err, p.Tail())
	}
	return s, nil
}

// Serve starts a server and waits until it is ready.
func (d *Data) Serve(ctx context.Context) (*Server, error) {
	p, err := d.Launch()
	if err != nil {
		return nil, err
	}
	s, err := d.Ready(ctx, p)
	if err != nil {
		p.Kill()
		return nil, err
	}
	return s, nil
}

// NodesEnv is the variable with the addresses of the nodes that have what servers keep, with commas
// between, if these are fronts of a cluster ([ExtraEnv]).
const NodesEnv = "HOLDFAST_E2E_NODES"

// Serving are addresses of the peers that have what the server keeps: its own, or those of a cluster.
func (s *Server) Serving() []string {
	if nodes := os.Getenv(NodesEnv); nodes != "" {
		return strings.Split(nodes, ",")
	}
	return s.Addrs[:1]
}

// PID is the server's process id.
func (s *Server) PID() int { return s.Process.PID() }

// Endpoint is the base URL of the pinning service, as a user of Kubo writes it, with the slash at
// its end.
func (s *Server) Endpoint() string { return strings.TrimSuffix(s.HTTP, "/") + "/api/psa/" }
