//go:build imports

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestImport with some 5,000 pins.
func TestImportThousands(t *testing.T) { importAll(t, 1667, 1200*patience) }

// Blocks come by a Kubo's RPC to a server that is not connected to it, also those of a pin that
// waits for them.
func TestImportCARs(t *testing.T) {
	ctx := within(t, 300*patience)
	k := startKubo(t, "full")
	pins, _ := fillKubo(t, ctx, k, 200)
	all := len(pins)
	d := newData(t)
	s := serve(t, d)
	c := login(t, s)
	last := pins[all-1] // the tree
	must(c.Add(ctx, rig.Pin{CID: last.cid, Name: last.name}))(t)
	killed, kill := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := d.Run(killed, nil, "import", "kubo", apiOf(t, k), "--cars")
		ended <- err
	}()
	check(t, rig.Poll(ctx, time.Millisecond, func() (bool, error) {
		page, err := c.List(ctx, url.Values{"limit": {"1"}})
		return page.Count > all/4, err
	}))
	kill()
	if <-ended == nil {
		t.Error("the import was not killed in time")
	}
	rest := runImport(t, ctx, d, "", "kubo", apiOf(t, k), "--cars")
	if rest.Outcomes["pinned"]+rest.Outcomes["here_before"] != all || len(rest.Outcomes) != 3 {
		t.Errorf("the second run: %v", rest)
	}
	samePins(t, ctx, c, pins)
	wantOutcomes(t, "again", runImport(t, ctx, d, "", "kubo", apiOf(t, k), "--cars"), all+1, map[string]int{"here_before": all, "left_out": 1})
	samePins(t, ctx, c, pins)
	if peers := must(k.Peers(ctx))(t); slices.Contains(peers, s.PeerID) {
		t.Errorf("the Kubo is connected to %s", s.PeerID)
	}
}

// cluster is a cluster of one peer over a Kubo.
type cluster struct{ api string }

func startCluster(t *testing.T, ctx context.Context, k *rig.Kubo) *cluster {
	t.Helper()
	binary := must(peers.Build(ctx))(t)
	conf := filepath.Join(t.TempDir(), "cluster")
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, binary, append([]string{"-c", conf}, args...)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(conf)}
		return cmd
	}
	if out, err := command("init", "--consensus", "crdt").CombinedOutput(); err != nil {
		t.Fatalf("init cluster: %v\n%s", err, out)
	}
	var ports []int
	for range 2 {
		l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		check(t, l.Close())
	}
	file := filepath.Join(conf, "service.json")
	whole := map[string]any{}
	check(t, json.Unmarshal(must(os.ReadFile(file))(t), &whole))
	section := func(names ...string) map[string]any {
		m := whole
		for _, n := range names {
			m, _ = m[n].(map[string]any)
		}
		return m
	}
	section("cluster")["listen_multiaddress"] = []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", ports[0])}
	section("cluster")["mdns_interval"] = "0s"
	section("cluster")["enable_relay_hop"] = false
	section("consensus", "crdt")["trusted_peers"] = []string{}
	delete(section("api"), "ipfsproxy")
	delete(section("api"), "pinsvcapi")
	section("api", "restapi")["http_listen_multiaddress"] = fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", ports[1])
	section("api", "restapi")["basic_auth_credentials"] = map[string]string{"operator": password}
	section("ipfs_connector", "ipfshttp")["node_multiaddress"] = apiOf(t, k)
	check(t, os.WriteFile(file, must(json.Marshal(whole))(t), 0o600))
	cmd := command("daemon")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(log.String()[max(0, log.Len()-8000):])
		}
	})
	c := &cluster{fmt.Sprintf("http://127.0.0.1:%d", ports[1])}
	check(t, rig.Poll(ctx, 50*time.Millisecond, func() (bool, error) {
		_, err := c.ask(ctx, http.MethodGet, "/id")
		return err == nil, nil
	}))
	return c
}

// ask makes a request, and returns the body of an answer that is a success.
func (c *cluster) ask(ctx context.Context, method, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.api+path, nil)
	if err != nil {
		return nil, err
	}
	r.SetBasicAuth("operator", password)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, body)
	}
	return body, err
}

// The pins of a real ipfs-cluster move with names and metadata, once each.
func TestImportCluster(t *testing.T) {
	ctx := within(t, 600*patience) // the first build takes minutes, and does not count
	k := startKubo(t, "node of a cluster")
	c := startCluster(t, ctx, k)
	const n = 300
	var files, raws [][]byte
	for i := range n {
		files = append(files, fileNode(fmt.Sprintf("cluster %d", i)))
		raws = append(raws, []byte(fmt.Sprintf("cluster block %d", i)))
	}
	var want []kuboPin
	add := func(cid, name, more string) {
		must(c.ask(ctx, http.MethodPost, "/pins/"+cid+"?name="+url.QueryEscape(name)+more))(t)
		want = append(want, kuboPin{cid: cid, name: name})
	}
	for i, cid := range putBlocks(t, ctx, k, url.Values{"format": {"v0"}}, files) {
		add(cid, fmt.Sprintf("ünd %d", i), "&meta-number="+fmt.Sprint(i))
	}
	for i, cid := range putBlocks(t, ctx, k, url.Values{"cid-codec": {"raw"}}, raws) {
		add(cid, "", map[bool]string{true: "&mode=direct"}[i%2 == 0])
	}
	tree := t.TempDir()
	check(t, rig.WriteTree(tree, 30_003, 0, 3))
	must(c.ask(ctx, http.MethodPost, "/pins/ipfs/"+must(k.AddTree(ctx, tree))(t)+"?mode=direct"))(t) // this one cannot come
	all := len(want)
	check(t, rig.Poll(ctx, 50*time.Millisecond, func() (bool, error) {
		list, err := c.ask(ctx, http.MethodGet, "/allocations?filter=pin")
		return bytes.Count(list, []byte("\n")) == all+1, err
	}))

	d := allowPrivate(newData(t)) // it dials the Kubo
	s := serve(t, d)
	auth := "basic:operator:" + password + "\n"
	plan := runImport(t, ctx, d, auth, "cluster", c.api, "--token-stdin", "--plan")
	wantOutcomes(t, "plan", plan, all+1, map[string]int{"new": all, "left_out": 1})
	moved := runImport(t, ctx, d, auth, "cluster", c.api, "--token-stdin")
	wantOutcomes(t, "moved", moved, all+1, map[string]int{"pinned": all, "left_out": 1})
	samePins(t, ctx, login(t, s), want)
	again := runImport(t, ctx, d, auth, "cluster", c.api, "--token-stdin")
	wantOutcomes(t, "again", again, all+1, map[string]int{"here_before": all, "left_out": 1})
	samePins(t, ctx, login(t, s), want)
	page := must(login(t, s).List(ctx, url.Values{"name": {"ünd 7"}}))(t)
	if len(page.Results) != 1 || page.Results[0].Pin.Meta["number"] != "7" {
		t.Errorf("the metadata is %v", page.Results)
	}

	_, err := d.Run(ctx, strings.NewReader("basic:operator:wrong"), "import", "cluster", c.api, "--token-stdin")
	if err == nil || !strings.Contains(err.Error(), "the token is refused") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with another password: %v", err)
	}
}
