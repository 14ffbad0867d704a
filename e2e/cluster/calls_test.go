//go:build cluster

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// recorder notes the calls that pass through a door.
type recorder struct {
	mu   sync.Mutex
	seen map[string]int
}

func (r *recorder) note(req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]int{}
	}
	r.seen[peers.Shape(req)]++
}

func (r *recorder) shapes() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.seen {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

// add sends a file to cluster's own adder, in chunks of 4 KiB.
func add(ctx context.Context, p *peers.Peer, content io.Reader, q url.Values) error {
	pr, pw := io.Pipe()
	defer pr.Close()
	form := multipart.NewWriter(pw)
	go func() {
		part, err := form.CreateFormFile("file", "file")
		if err == nil {
			_, err = io.Copy(part, content)
		}
		if err == nil {
			err = form.Close()
		}
		pw.CloseWithError(err)
	}()
	q.Set("chunker", "size-4096")
	q.Set("raw-leaves", "true")
	q.Set("cid-version", "1")
	body, err := p.Open(ctx, http.MethodPost, "/add?"+q.Encode(), form.FormDataContentType(), pr)
	if err != nil {
		return err
	}
	defer body.Close()
	all, err := io.ReadAll(body)
	if err == nil && !bytes.Contains(all, []byte(`"cid"`)) {
		err = fmt.Errorf("cluster's add answers %s", all)
	}
	return err
}

// The peers make the calls that package peers lists, and no others.
func TestCalls(t *testing.T) {
	ctx := within(t, 4*time.Minute)
	node := newStorage(t, nil)
	source := newSource(t, ctx, node)
	var calls recorder
	port := must(peers.FreePorts(1))(t)[0]
	d := newDoor(t, port, node.Node)
	d.note = calls.note
	c := newCluster(t, ctx, peers.Options{Nodes: []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port), node.Multiaddr}, Min: 1, Max: 2, RecoverEvery: 5 * time.Second})
	p := c.Peers[0]
	tree := t.TempDir()
	check(t, rig.WriteTree(tree, 15_000, 1, 2))
	root := must(source.AddTree(ctx, tree))(t)
	from, to := file(t, ctx, source, 15_001, 20), file(t, ctx, source, 15_002, 20)
	check(t, p.Pin(ctx, root, url.Values{"origins": {source.Addrs[0]}}))
	check(t, p.Pin(ctx, from, nil))
	check(t, p.AwaitPinned(ctx, 1, root, from))
	check(t, p.Pin(ctx, to, url.Values{"pin-update": {from}}))
	check(t, p.Do(ctx, http.MethodPost, "/pins/ipfs/"+root+"/d000/f00000", nil))
	check(t, p.Do(ctx, http.MethodPost, "/pins/ipfs/"+emptyDir+"?mode=direct", nil))
	check(t, add(ctx, p, strings.NewReader("some content"), url.Values{}))
	check(t, p.AwaitPinned(ctx, 1, to))
	eventually(t, ctx, "the direct pin is there", func() bool { // its peers' list of all never has it
		for _, p := range c.Peers {
			if is, err := p.Here(ctx, emptyDir); err == nil && is.Status == peers.Pinned {
				return true
			}
		}
		return false
	})
	for _, path := range []string{"/id", "/peers", "/health/graph"} {
		check(t, p.Do(ctx, http.MethodGet, path, nil))
	}
	must(p.Statuses(ctx))(t)
	must(p.Status(ctx, root))(t)
	check(t, p.Do(ctx, http.MethodPost, "/ipfs/gc", nil))
	check(t, p.Unpin(ctx, root))
	check(t, p.Recover(ctx))
	eventually(t, ctx, "all calls are made", func() bool { return len(calls.shapes()) >= len(peers.Calls) })
	if got := calls.shapes(); !slices.Equal(got, peers.Calls) {
		t.Errorf("the peer makes the calls\n%s\nand they are listed as\n%s", strings.Join(got, "\n"), strings.Join(peers.Calls, "\n"))
	}
}

// What is added to cluster is put before it is pinned. No block of it is fetched, although space is
// given back all the time, and no socket hangs.
func TestAdd(t *testing.T) {
	ctx := within(t, 6*time.Minute)
	w := newWorld(t, ctx, 3, peers.Options{Min: 2, Max: 2}, "HOLDFAST_STORE_RECLAIM_INTERVAL=1s")
	const size = 64 << 20
	for i, p := range w.Peers[:2] { // the second one's node is at a Unix socket
		check(t, add(ctx, p, rig.Random(uint64(16_000+i), size), url.Values{}))
	}
	var all []string
	eventually(t, ctx, "the pinset has them", func() bool {
		list, err := w.Peers[0].Allocations(ctx)
		all = nil
		for _, a := range list {
			all = append(all, a.CID)
		}
		return err == nil && len(all) == 2
	})
	check(t, w.Peers[0].AwaitPinned(ctx, 2, all...))
	for _, c := range all {
		if n := w.copies(ctx, c); n != 2 {
			t.Errorf("%s has %d copies", c, n)
		}
	}
	for i, n := range w.nodes {
		if n.kubo != nil {
			continue
		}
		if got := received(t, ctx, n); got != "0" {
			t.Errorf("node %d has fetched %s blocks", i, got)
		}
	}
	w.agrees(t, ctx)
}

var receivedLine = regexp.MustCompile(`(?m)^holdfast_blocks_received_total (\S+)$`)

// received is how many blocks a node has got from others.
func received(t *testing.T, ctx context.Context, s *storage) string {
	t.Helper()
	r := must(http.NewRequestWithContext(ctx, http.MethodGet, s.server.Metrics+"/metrics", nil))(t)
	res := must(http.DefaultClient.Do(r))(t)
	defer res.Body.Close()
	m := receivedLine.FindSubmatch(must(io.ReadAll(res.Body))(t))
	if m == nil {
		t.Fatal("no metric says how many blocks came")
	}
	return string(m[1])
}

// What deploy/cluster has for service.json are settings that cluster knows, and with them it starts.
func TestDeployedSettings(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	deployed := peers.Config{}
	check(t, json.Unmarshal(must(os.ReadFile("../../deploy/cluster/service.json"))(t), &deployed))
	node := newStorage(t, nil)
	c := newCluster(t, ctx, peers.Options{Nodes: []string{node.Multiaddr}, Change: func(_ int, made peers.Config) {
		overlay(t, "", made, deployed, node.Multiaddr)
	}})
	check(t, c.Peers[0].Do(ctx, http.MethodGet, "/id", nil))
}

// overlay puts settings over others, all of which must be there, but for the names of tags.
func overlay(t *testing.T, at string, to, from map[string]any, node string) {
	for name, v := range from {
		was, ok := to[name]
		if !ok && !strings.HasSuffix(at, "/tags/tags") {
			t.Errorf("cluster has no setting %s/%s", at, name)
		}
		if below, ok := v.(map[string]any); ok {
			if into, ok := was.(map[string]any); ok {
				overlay(t, at+"/"+name, into, below, node)
				continue
			}
		}
		if v == "/unix/run/holdfast/rpc.sock" {
			v = node
		}
		to[name] = v
	}
}
