package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startTimeout is much longer than either takes to be ready.
const startTimeout = time.Minute

func startHoldfast(ctx context.Context, dir, binary string) (_ *service, stop func() error, err error) {
	data := filepath.Join(dir, "data")
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOLDFAST_DATA=" + data,
		"HOLDFAST_HTTP_LISTEN=127.0.0.1:0",
		"HOLDFAST_METRICS_LISTEN=127.0.0.1:0",
		"HOLDFAST_NODE_LISTEN=/ip4/127.0.0.1/tcp/0",
		"HOLDFAST_NODE_ROUTING=none",
		"HOLDFAST_NODE_BOOTSTRAP=",
	}
	s := &service{path: "/api/psa/pins", own: true}
	run := func(in string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, binary, args...)
		cmd.Env, cmd.Stdin = env, strings.NewReader(in)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("%s: %w\n%s", args, err, &said)
		}
		return strings.TrimSpace(string(out)), nil
	}
	for i := range accounts {
		email := fmt.Sprintf("bench%d@example.org", i)
		if _, err := run("correct horse battery staple\n", "user", "add", email, "--password-stdin"); err != nil {
			return nil, nil, err
		}
		token, err := run("", "token", "create", email, "--name", "bench")
		if err != nil {
			return nil, nil, err
		}
		s.tokens = append(s.tokens, token)
	}
	cmd := exec.Command(binary, "serve")
	cmd.Env = env
	stop, err = start(cmd, filepath.Join(dir, "holdfast.log"))
	if err != nil {
		return nil, nil, err
	}
	err = await(ctx, func() error {
		var run struct {
			HTTP string `json:"http"`
		}
		b, err := os.ReadFile(filepath.Join(data, "run.json"))
		if err == nil {
			err = json.Unmarshal(b, &run)
		}
		s.addr = strings.TrimPrefix(run.HTTP, "http://")
		return err
	})
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return s, stop, nil
}

// startCluster starts a single peer, which no other peer can join, over a daemon that finds
// nothing.
func startCluster(ctx context.Context, dir, binary string) (_ *service, _ func() error, err error) {
	ipfs, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	daemon := &http.Server{Handler: http.HandlerFunc(serveNothing), ReadHeaderTimeout: time.Minute}
	go daemon.Serve(ipfs) // until it is closed
	ports, err := freePorts(2)
	if err != nil {
		return nil, nil, errors.Join(err, daemon.Close())
	}
	conf := filepath.Join(dir, "cluster-config")
	s := &service{addr: fmt.Sprintf("127.0.0.1:%d", ports[0]), path: "/pins"}
	if err := initCluster(ctx, conf, binary, ipfs.Addr().(*net.TCPAddr).Port, ports); err != nil {
		return nil, nil, errors.Join(err, daemon.Close())
	}
	cmd := exec.Command(binary, "-c", conf, "daemon")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	end, err := start(cmd, filepath.Join(dir, "cluster.log"))
	if err != nil {
		return nil, nil, errors.Join(err, daemon.Close())
	}
	stop := func() error { return errors.Join(daemon.Close(), end()) }
	err = await(ctx, func() error {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			return err
		}
		return c.Close()
	})
	for i := 0; err == nil && i < accounts; i++ {
		var token string
		token, err = clusterToken(ctx, s.addr, i)
		s.tokens = append(s.tokens, token)
	}
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "cluster.log"))
		return nil, nil, errors.Join(fmt.Errorf("%w\n%s", err, log), stop())
	}
	return s, stop, nil
}

// initCluster makes a configuration: the one that Cluster makes itself, with other
// accounts, addresses and peers.
func initCluster(ctx context.Context, conf, binary string, ipfs int, ports []int) error {
	out, err := exec.CommandContext(ctx, binary, "-c", conf, "init", "--consensus", "crdt").CombinedOutput()
	if err != nil {
		return fmt.Errorf("init cluster: %w\n%s", err, out)
	}
	path := filepath.Join(conf, "service.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	whole := map[string]any{}
	if err := json.Unmarshal(b, &whole); err != nil {
		return fmt.Errorf("read the configuration of cluster: %w", err)
	}
	section := func(names ...string) map[string]any {
		m := whole
		for _, n := range names {
			m, _ = m[n].(map[string]any)
		}
		return m
	}
	loopback := func(port int) string { return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port) }
	c := section("cluster")
	c["listen_multiaddress"] = []string{loopback(ports[1])}
	c["mdns_interval"] = "0s"
	c["enable_relay_hop"] = false
	section("consensus", "crdt")["trusted_peers"] = []string{}
	delete(section("api"), "ipfsproxy")
	delete(section("api"), "restapi")
	api := section("api", "pinsvcapi")
	api["http_listen_multiaddress"] = loopback(ports[0])
	credentials := map[string]string{}
	for i := range accounts {
		credentials[userName(i)] = userPassword
	}
	api["basic_auth_credentials"] = credentials
	section("ipfs_connector", "ipfshttp")["node_multiaddress"] = loopback(ipfs)
	if b, err = json.Marshal(whole); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

const userPassword = "correct horse battery staple"

func userName(i int) string { return fmt.Sprintf("bench%d", i) }

func clusterToken(ctx context.Context, addr string, i int) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/token", nil)
	if err != nil {
		return "", err
	}
	r.SetBasicAuth(userName(i), userPassword)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var out struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&out); err != nil {
		return "", err
	}
	if out.Token == "" {
		return "", fmt.Errorf("cluster gives no token: %s", answer.Status)
	}
	return out.Token, nil
}

// serveNothing is the API of an IPFS daemon that has no pins and finds nothing.
func serveNothing(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch strings.TrimPrefix(r.URL.Path, "/api/v0/") {
	case "id":
		fmt.Fprint(w, `{"ID":"QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB","Addresses":["/ip4/127.0.0.1/tcp/1/p2p/QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB"]}`)
	case "version":
		fmt.Fprint(w, `{"Version":"0.43.0"}`)
	case "repo/stat":
		fmt.Fprint(w, `{"RepoSize":0,"StorageMax":1000000000000}`)
	case "config/show":
		fmt.Fprint(w, `{"Datastore":{"StorageMax":"1TB"}}`)
	case "swarm/peers":
		fmt.Fprint(w, `{"Peers":null}`)
	case "pin/add": // until the caller gives up
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case "pin/ls":
		if r.URL.Query().Get("arg") == "" {
			return // an empty stream
		}
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, `{"Message":"not pinned","Code":0,"Type":"error"}`)
	case "pin/rm":
		fmt.Fprint(w, `{"Pins":[]}`)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// freePorts returns ports of this host that nobody uses now.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// start runs a process, which ends at the latest when this process ends. stop ends it and waits.
func start(cmd *exec.Cmd, log string) (stop func() error, err error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return fmt.Errorf("stop %s: %w", cmd.Path, err)
		}
		select {
		case <-ended: // it does not matter how
			return nil
		case <-time.After(startTimeout):
			return errors.Join(fmt.Errorf("%s does not stop", cmd.Path), cmd.Process.Kill())
		}
	}, nil
}

// await tries until there is no error.
func await(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not ready in %v: %w", startTimeout, err)
		}
	}
}
