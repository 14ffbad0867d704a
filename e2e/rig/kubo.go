package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Kubo is a running `ipfs daemon` with a repository of its own.
type Kubo struct {
	*Process
	Repo  string   // its IPFS_PATH
	ID    string   // peer id
	Addrs []string // multiaddrs ending in /p2p/ID
	rig   *Rig
	name  string
	more  []string // of its environment
	api   string   // base URL of the RPC API
	// Gateway is the base URL of its gateway; "" if Addresses.Gateway is not set.
	Gateway string
}

// KuboOptions say how a Kubo differs from what the rig starts by default.
type KuboOptions struct {
	Env      []string // more of the daemon's environment, as KEY=VALUE
	Profile  string   // of its configuration, beside the test profile; "" is none
	SwarmKey string   // the text of its swarm.key; "" is none
	// Config is more of its configuration, by key with dots. The value nil removes what the
	// rig would set itself.
	Config map[string]any
}

// InDHT makes a Kubo find and provide as it does by default, in the DHT of the local network. It
// joins that by one node.
func InDHT(bootstrap string) KuboOptions {
	return KuboOptions{Config: map[string]any{
		"Bootstrap":       []string{bootstrap},
		"Routing.Type":    nil,
		"Provide.Enabled": nil,
	}}
}

// StartKubo makes a repository and starts a daemon on it. It has the defaults of Kubo, such as
// flatfs, but nothing that dials out by itself.
func (r *Rig) StartKubo(ctx context.Context, name string, o KuboOptions) (*Kubo, error) {
	dir, err := r.TempDir(name)
	if err != nil {
		return nil, err
	}
	k := &Kubo{Repo: filepath.Join(dir, "repo"), rig: r}
	profiles := "test"
	if o.Profile != "" {
		profiles += "," + o.Profile
	}
	if _, err := k.Run(ctx, nil, "init", "--profile="+profiles); err != nil {
		return nil, err
	}
	if err := k.isolate(o.Config); err != nil {
		return nil, fmt.Errorf("configure %s: %w", name, err)
	}
	if o.SwarmKey != "" {
		if err := os.WriteFile(filepath.Join(k.Repo, "swarm.key"), []byte(o.SwarmKey), 0o600); err != nil {
			return nil, fmt.Errorf("configure %s: %w", name, err)
		}
	}
	k.name, k.more = name, o.Env
	if err := k.Start(ctx); err != nil {
		return nil, err
	}
	return k, nil
}

// Start starts the daemon again, on the repository that it had.
func (k *Kubo) Start(ctx context.Context) (err error) {
	if err := os.Remove(filepath.Join(k.Repo, "api")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("start %s: %w", k.name, err)
	}
	cmd := exec.Command(k.rig.IPFS, "daemon")
	cmd.Env = append(k.env(), k.more...)
	if k.Process, err = k.rig.starter.start(k.name, filepath.Join(filepath.Dir(k.Repo), "log"), cmd); err != nil {
		return err
	}
	if err := k.waitReady(ctx); err != nil {
		k.Kill()
		return fmt.Errorf("start %s: %w\n%s", k.name, err, k.Tail())
	}
	return nil
}

// env keeps the user's own settings of Kubo away, and switches its telemetry off.
func (k *Kubo) env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(k.Repo), "IPFS_PATH=" + k.Repo, "IPFS_TELEMETRY=off"}
}

// isolate switches off what the test profile leaves on, except what the options set.
func (k *Kubo) isolate(but map[string]any) error {
	path := filepath.Join(k.Repo, "config")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := json.Unmarshal(b, &config); err != nil {
		return err
	}
	settings := map[string]any{
		"Bootstrap":                  []string{},
		"Discovery.MDNS.Enabled":     false,
		"Routing.Type":               "none",
		"AutoConf.Enabled":           false,
		"AutoTLS.Enabled":            false,
		"AutoNAT.ServiceMode":        "disabled",
		"HTTPRetrieval.Enabled":      false,
		"Provide.Enabled":            false,
		"Swarm.EnableHolePunching":   false,
		"Swarm.RelayClient.Enabled":  false,
		"Swarm.RelayService.Enabled": false,
		"Version.SwarmCheckEnabled":  false,
		"Addresses.Swarm":            []string{"/ip4/127.0.0.1/tcp/0"},
		"Addresses.API":              "/ip4/127.0.0.1/tcp/0",
		"Addresses.Gateway":          []string{},
	}
	maps.Copy(settings, but)
	for key, value := range settings {
		if value == nil {
			continue
		}
		at := config
		names := strings.Split(key, ".")
		for _, name := range names[:len(names)-1] {
			next, ok := at[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[name] = next
			}
			at = next
		}
		at[names[len(names)-1]] = value
	}
	if b, err = json.MarshalIndent(config, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

func (k *Kubo) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("not ready in 2 minutes"))
	defer cancel()
	return Poll(ctx, 20*time.Millisecond, func() (bool, error) {
		if err := k.Ended(); err != nil {
			return false, err
		}
		// The file appears when the daemon listens.
		b, err := os.ReadFile(filepath.Join(k.Repo, "api"))
		if err != nil {
			return false, nil
		}
		part := strings.Split(strings.TrimSpace(string(b)), "/") // /ip4/127.0.0.1/tcp/PORT
		if len(part) != 5 {
			return false, nil
		}
		k.api = "http://" + part[2] + ":" + part[4] + "/api/v0/"
		var id struct {
			ID        string
			Addresses []string
		}
		if err := k.RPC(ctx, "id", nil, &id); err != nil {
			return false, nil
		}
		k.ID, k.Addrs = id.ID, id.Addresses
		if b, err := os.ReadFile(filepath.Join(k.Repo, "gateway")); err == nil {
			k.Gateway = strings.TrimSpace(string(b))
		}
		return len(k.Addrs) > 0, nil
	})
}

// Run runs `ipfs args...` on the repository, with stdin if that is not nil. It returns what the
// command printed to stdout. The error has what it printed to stderr.
func (k *Kubo) Run(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, k.rig.IPFS, args...)
	cmd.Env = k.env()
	cmd.Stdin = stdin
	out, _, err := output(cmd)
	return out, err
}

// output runs a command and returns its stdout and stderr. The error has the stderr too.
func output(cmd *exec.Cmd) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		args := cmd.Args[1:]
		return out.String(), errs.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(cmd.Path), strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), errs.String(), nil
}

// RPC calls the daemon's own API, which costs less than running the binary. It decodes the first
// JSON value of the answer into result, unless result is nil.
func (k *Kubo) RPC(ctx context.Context, command string, q url.Values, result any) error {
	body, err := k.stream(ctx, command, q, nil, "")
	if err != nil {
		return err
	}
	defer body.Close()
	return finish(command, body, result)
}

// finish decodes the first JSON value of an answer into result, unless result is nil. It reads
// the answer to its end, because only then the command is done.
func finish(command string, body io.Reader, result any) error {
	if result != nil {
		if err := json.NewDecoder(body).Decode(result); err != nil {
			return fmt.Errorf("ipfs %s: decode the answer: %w", command, err)
		}
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return fmt.Errorf("ipfs %s: %w", command, err)
	}
	return nil
}

// API is the base URL of its RPC, which ends in a slash.
func (k *Kubo) API() string { return k.api }

func (k *Kubo) stream(ctx context.Context, command string, q url.Values, in io.Reader, contentType string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.api+command+"?"+q.Encode(), in)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ipfs %s: %w", command, err)
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
		return nil, fmt.Errorf("ipfs %s: %s: %s", command, res.Status, b)
	}
	return &streamBody{res}, nil
}

// streamBody reads an answer to its end. There a trailer says whether the answer is complete.
type streamBody struct{ res *http.Response }

func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.res.Body.Read(p)
	if msg := b.res.Trailer.Get("X-Stream-Error"); errors.Is(err, io.EOF) && msg != "" {
		err = errors.New(msg)
	}
	return n, err
}

func (b *streamBody) Close() error { return b.res.Body.Close() }

// upload sends a file to a command.
func (k *Kubo) upload(ctx context.Context, command string, q url.Values, file io.Reader, result any) error {
	pr, pw := io.Pipe()
	defer pr.Close() // ends the writer if the daemon stops reading
	form := multipart.NewWriter(pw)
	go func() {
		part, err := form.CreateFormFile("file", "file")
		if err == nil {
			_, err = io.Copy(part, file)
		}
		if err == nil {
			err = form.Close()
		}
		pw.CloseWithError(err)
	}()
	body, err := k.stream(ctx, command, q, pr, form.FormDataContentType())
	if err != nil {
		return err
	}
	defer body.Close()
	return finish(command, body, result)
}

// AddFile adds content as a file of raw leaves of chunk bytes, with at most 174 links in a node.
// It returns the CIDv1.
func (k *Kubo) AddFile(ctx context.Context, content io.Reader, chunk int) (string, error) {
	q := url.Values{
		"cid-version":    {"1"},
		"raw-leaves":     {"true"},
		"chunker":        {fmt.Sprintf("size-%d", chunk)},
		"max-file-links": {"174"},
		"pin":            {"false"},
		"quieter":        {"true"},
	}
	var added struct{ Hash string }
	err := k.upload(ctx, "add", q, content, &added)
	return added.Hash, err
}

// PutBlock stores a block under a codec, whether or not it decodes, and returns its CIDv1.
func (k *Kubo) PutBlock(ctx context.Context, codec string, block []byte) (string, error) {
	var put struct{ Key string }
	err := k.upload(ctx, "block/put", url.Values{"cid-codec": {codec}}, bytes.NewReader(block), &put)
	return put.Key, err
}

// PutBlockHashed stores a block of any size under a codec and a hash function, whether or not it
// decodes, and returns its CIDv1.
func (k *Kubo) PutBlockHashed(ctx context.Context, codec, hash string, block []byte) (string, error) {
	var put struct{ Key string }
	q := url.Values{"cid-codec": {codec}, "mhtype": {hash}, "mhlen": {"-1"}, "allow-big-block": {"true"}}
	err := k.upload(ctx, "block/put", q, bytes.NewReader(block), &put)
	return put.Key, err
}

// Pin pins a DAG. It waits for blocks that the daemon does not have.
func (k *Kubo) Pin(ctx context.Context, cid string) error {
	return k.RPC(ctx, "pin/add", url.Values{"arg": {cid}}, nil)
}

// Block reads one block, and only from the daemon's own repository.
func (k *Kubo) Block(ctx context.Context, cid string) ([]byte, error) {
	body, err := k.stream(ctx, "block/get", url.Values{"arg": {cid}, "offline": {"true"}}, nil, "")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// PutDAG stores a node, given as DAG-JSON, under another codec and returns its CID.
func (k *Kubo) PutDAG(ctx context.Context, codec, dagJSON string) (string, error) {
	var put struct {
		Cid struct {
			Link string `json:"/"`
		}
	}
	q := url.Values{"store-codec": {codec}, "input-codec": {"dag-json"}}
	err := k.upload(ctx, "dag/put", q, strings.NewReader(dagJSON), &put)
	return put.Cid.Link, err
}

// AddTree adds a directory of the disk and returns its CIDv1.
func (k *Kubo) AddTree(ctx context.Context, root string) (string, error) {
	out, err := k.Run(ctx, nil, "add", "-r", "-Q", "--cid-version=1", "--raw-leaves", "--pin=false", root)
	return strings.TrimSpace(out), err
}

// Connect dials a peer.
func (k *Kubo) Connect(ctx context.Context, addr string) error {
	return k.RPC(ctx, "swarm/connect", url.Values{"arg": {addr}}, nil)
}

// Peers lists the peers that the daemon is connected to, by peer id.
func (k *Kubo) Peers(ctx context.Context) ([]string, error) {
	var list struct{ Peers []struct{ Peer string } }
	err := k.RPC(ctx, "swarm/peers", nil, &list)
	var ids []string
	for _, p := range list.Peers {
		ids = append(ids, p.Peer)
	}
	return ids, err
}

// Providers asks the DHT who has a block, and returns the first peer ids, up to a number.
func (k *Kubo) Providers(ctx context.Context, cid string, count int) ([]string, error) {
	body, err := k.stream(ctx, "routing/findprovs", url.Values{"arg": {cid}, "num-providers": {fmt.Sprint(count)}}, nil, "")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	const aProvider = 4 // routing.Provider, of the events that a lookup reports
	var ids []string
	for dec := json.NewDecoder(body); ; {
		var event struct {
			Type      int
			Responses []struct{ ID string }
		}
		if err := dec.Decode(&event); errors.Is(err, io.EOF) {
			return ids, nil
		} else if err != nil {
			return ids, fmt.Errorf("ipfs routing findprovs: decode the answer: %w", err)
		}
		if event.Type == aProvider {
			for _, r := range event.Responses {
				ids = append(ids, r.ID)
			}
		}
	}
}

// Disconnect closes the connections to a peer.
func (k *Kubo) Disconnect(ctx context.Context, addr string) error {
	return k.RPC(ctx, "swarm/disconnect", url.Values{"arg": {addr}}, nil)
}

// Fetch makes the daemon pin DAGs. That fetches every block of them from the peers that the
// daemon is connected to.
func (k *Kubo) Fetch(ctx context.Context, cids ...string) error {
	return k.RPC(ctx, "pin/add", url.Values{"arg": cids, "progress": {"false"}}, nil)
}

// Forget unpins DAGs and deletes every block that nothing else holds.
func (k *Kubo) Forget(ctx context.Context, cids ...string) error {
	if err := k.RPC(ctx, "pin/rm", url.Values{"arg": cids}, nil); err != nil {
		return err
	}
	return k.RPC(ctx, "repo/gc", url.Values{"quiet": {"true"}}, nil)
}

// Export streams a DAG as a CAR. Its bytes are the same from every repository.
func (k *Kubo) Export(ctx context.Context, cid string) (io.ReadCloser, error) {
	return k.stream(ctx, "dag/export", url.Values{"arg": {cid}, "progress": {"false"}, "offline": {"true"}}, nil, "")
}

// Cat streams a file's content.
func (k *Kubo) Cat(ctx context.Context, cid string) (io.ReadCloser, error) {
	return k.stream(ctx, "cat", url.Values{"arg": {cid}}, nil, "")
}

// BlocksSent is how many blocks the daemon has sent to peers since it started.
func (k *Kubo) BlocksSent(ctx context.Context) (uint64, error) {
	var stat struct{ BlocksSent uint64 }
	err := k.RPC(ctx, "bitswap/stat", nil, &stat)
	return stat.BlocksSent, err
}
