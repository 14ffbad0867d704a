package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// nodeAnswer is what is compared of the answer of a node to a cluster peer.
type nodeAnswer struct {
	Status int
	Lines  []any
}

// askNode makes a call as a cluster peer does.
func askNode(t *testing.T, ctx context.Context, n *peers.Node, command string, q url.Values, blocks ...[]byte) (a nodeAnswer, shape string) {
	t.Helper()
	var (
		body        io.Reader
		contentType string
	)
	if len(blocks) > 0 {
		contentType, body = blockForm(t, blocks)
	}
	res := must(n.Post(ctx, command, q, contentType, body))(t)
	defer res.Body.Close()
	a.Status = res.StatusCode
	for dec := json.NewDecoder(res.Body); ; {
		var v any
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		a.Lines = append(a.Lines, v)
	}
	return a, peers.Shape(res.Request)
}

// What ipfs-cluster asks of its node, Holdfast answers as Kubo does. The calls are those that its
// peers were found to make.
func TestNodeOfACluster(t *testing.T) {
	ctx := within(t, 120*patience)
	source := sharedSource(t)
	kubo := startKubo(t, "node of a cluster")
	check(t, kubo.Connect(ctx, source.Addrs[0]))
	check(t, kubo.RPC(ctx, "pin/rm", url.Values{"arg": {emptyDirectory}}, nil)) // which init pins
	d := allowPrivate(must(suite.NewData())(t))
	d.Env["HOLDFAST_RPC_LISTEN"] = "127.0.0.1:0"
	s := serve(t, d)
	check(t, source.Connect(ctx, s.Addrs[0]))
	theirs, ours := must(peers.NewNode(strings.TrimSuffix(kubo.API(), "/api/v0/")))(t), must(peers.NewNode(s.RPC))(t)

	tree := t.TempDir()
	check(t, rig.WriteTree(tree, 77_001, 2, 3))
	root := must(source.AddTree(ctx, tree))(t)
	old := strings.TrimSpace(must(source.Run(ctx, nil, "cid", "format", "-v", "0", root))(t))
	file := must(source.AddFile(ctx, rig.Random(77_002, 100<<10), 1<<10))(t)
	longer := must(source.AddFile(ctx, rig.Random(77_002, 120<<10), 1<<10))(t)

	arg := func(args ...string) url.Values { return url.Values{"arg": args} }
	with := func(q url.Values, more ...string) url.Values {
		for _, kv := range more {
			k, v, _ := strings.Cut(kv, "=")
			q.Set(k, v)
		}
		return q
	}
	ls := func(c, kind string) url.Values { return with(arg(c), "stream=true", "type="+kind) }
	add := func(c string) url.Values { return with(arg(c), "recursive=true", "progress=true") }
	all := url.Values{"stream": {"true"}, "type": {"recursive"}}
	put := url.Values{"cid-codec": {"dag-pb"}, "mhtype": {"sha2-256"}, "mhlen": {"32"}, "pin": {"false"}, "allow-big-block": {"true"}}
	seen := map[string]bool{}
	for i, c := range []struct {
		command string
		q       url.Values
		blocks  [][]byte
		same    func(a *nodeAnswer) // takes out what is not to be compared
	}{
		{command: "id", same: shapes},
		{command: "version", same: shapes},
		{command: "repo/stat", q: url.Values{"size-only": {"true"}}, same: shapes},
		{command: "swarm/connect", q: arg(source.Addrs[0])},
		{command: "swarm/peers", same: shapes},
		{command: "pin/ls", q: all},
		{command: "pin/ls", q: ls(root, "recursive")},
		{command: "pin/ls", q: ls(root, "direct")},
		{command: "pin/rm", q: arg(root)},
		{command: "pin/add", q: add(root), same: lastLine},
		{command: "pin/ls", q: ls(root, "recursive")},
		{command: "pin/ls", q: ls(old, "recursive")},
		{command: "pin/add", q: add(old), same: lastLine},
		{command: "pin/add", q: add(old), same: lastLine},
		{command: "pin/add", q: add(file), same: lastLine},
		{command: "pin/add", q: add(emptyDirectory), same: lastLine},
		{command: "pin/ls", q: all},
		{command: "pin/add", q: with(arg(longer), "recursive=false", "progress=true"), same: lastLine},
		{command: "pin/ls", q: ls(longer, "direct")},
		{command: "pin/ls", q: ls(longer, "recursive")},
		{command: "pin/rm", q: arg(longer)},
		{command: "pin/rm", q: arg(longer)},
		{command: "pin/update", q: with(arg(file, longer), "unpin=false")},
		{command: "pin/update", q: with(arg(rig.CID(rig.CodecRaw, []byte("not pinned")), longer), "unpin=false")},
		{command: "pin/ls", q: all},
		{command: "resolve", q: arg("/ipfs/" + root + "/d000/f00001")},
		{command: "resolve", q: arg("/ipfs/" + root + "/nothing"), same: status},
		{command: "block/put", q: put, blocks: [][]byte{[]byte("one"), []byte("two"), []byte("")}},
		{command: "block/stat", q: arg(rig.CID(rig.CodecRaw, []byte("two")))},
		{command: "pin/add", q: add(rig.CID(rig.CodecRaw, []byte("two"))), same: lastLine},
		{command: "pin/rm", q: arg(root)},
		{command: "pin/rm", q: arg(root)},
		{command: "pin/ls", q: all},
		{command: "repo/gc", q: url.Values{"stream-errors": {"true"}}, same: status},
		{command: "pin/ls", q: ls(old, "recursive")},
	} {
		a, shape := askNode(t, ctx, theirs, c.command, c.q, c.blocks...)
		b, _ := askNode(t, ctx, ours, c.command, c.q, c.blocks...)
		seen[shape] = true
		withoutOurFields(&b)
		for _, one := range []*nodeAnswer{&a, &b} {
			slices.SortFunc(one.Lines, func(x, y any) int { return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) })
			if c.same != nil {
				c.same(one)
			}
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%d: %s?%s: Kubo answers %v, and Holdfast %v", i, c.command, c.q.Encode(), a, b)
		}
	}
	for _, shape := range peers.Calls {
		if !seen[shape] {
			t.Errorf("this call is not compared: %s", shape)
		}
	}
}

// shapes compares the types of values.
func shapes(a *nodeAnswer) {
	for i, l := range a.Lines {
		a.Lines[i] = shape(l)
		if o, ok := a.Lines[i].(map[string]any); ok {
			delete(o, "Protocols") // of which a node may have any
			delete(o, "Peers")
		}
	}
}

// lastLine compares what a pin ends with: between that, there is progress at any time.
func lastLine(a *nodeAnswer) {
	a.Lines = slices.DeleteFunc(a.Lines, func(l any) bool {
		o, _ := l.(map[string]any)
		return o["Progress"] != nil
	})
}

// status compares that alone.
func status(a *nodeAnswer) { a.Lines = nil }

// withoutOurFields takes out what is in pin/ls beyond Kubo's.
func withoutOurFields(a *nodeAnswer) {
	for _, l := range a.Lines {
		if o, ok := l.(map[string]any); ok && o["Cid"] != nil {
			delete(o, "Blocks")
			delete(o, "Bytes")
		}
	}
}

// blockForm makes a body as cluster does: each block is a file with its CID as the name.
func blockForm(t *testing.T, blocks [][]byte) (contentType string, body io.Reader) {
	t.Helper()
	const boundary = "a-boundary-of-a-cluster-peer"
	var b bytes.Buffer
	for _, block := range blocks {
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"%s\"\r\nContent-Type: application/octet-stream\r\n\r\n%s\r\n",
			boundary, rig.CID(rig.CodecRaw, block), block)
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	// Without its length: it is chunked.
	return "multipart/form-data; boundary=" + boundary, struct{ io.Reader }{&b}
}

// Kubo's command line works by the socket, and pins survive what a node of a cluster goes through: a
// grace after each unpin, also through a restart.
func TestSocketForTheCommandLine(t *testing.T) {
	ctx := within(t, 90*patience)
	source := sharedSource(t)
	d := must(suite.NewData())(t)
	socket := filepath.Join(filepath.Dir(d.Dir), "rpc.sock")
	d.Env["HOLDFAST_RPC_LISTEN"] = "unix:" + socket
	d.Env["HOLDFAST_STORE_RECLAIM_INTERVAL"] = "1s"
	s := serve(t, d)
	check(t, source.Connect(ctx, s.Addrs[0]))
	c := must(source.AddFile(ctx, rig.Random(77_010, 300<<10), 1<<10))(t)
	api := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(must(source.Run(ctx, nil, append([]string{"--api", "/unix" + socket}, args...)...))(t))
	}
	if got := api("pin", "add", "--progress", c); got != "pinned "+c+" recursively" {
		t.Errorf("pin add says %q", got)
	}
	if got := api("pin", "ls", "--type=recursive", "--quiet"); got != c {
		t.Errorf("pin ls says %q", got)
	}
	if got := api("id", "-f", "<id>"); got != s.PeerID {
		t.Errorf("id says %q", got)
	}
	if got := api("pin", "rm", c); got != "unpinned "+c {
		t.Errorf("pin rm says %q", got)
	}
	if _, err := source.Run(ctx, nil, "--api", "/unix"+socket, "pin", "rm", c); err == nil || !strings.Contains(err.Error(), "not pinned or pinned indirectly") {
		t.Errorf("again: %v", err)
	}
	// Nobody else has it any more, and the server is killed in between.
	s.Kill()
	s = serve(t, d)
	if n := must(source.Peers(ctx))(t); slices.Contains(n, s.PeerID) {
		check(t, source.Disconnect(ctx, s.Addrs[0]))
	}
	if got := api("pin", "add", c); got != "pinned "+c+" recursively" {
		t.Errorf("pin add of what lingers says %q", got)
	}
	if got := api("pin", "ls", "--type=recursive", "--quiet"); got != c {
		t.Errorf("pin ls says %q", got)
	}
	// With the grace ended it is gone.
	api("pin", "rm", c)
	api("repo", "gc")
	if _, err := source.Run(ctx, nil, "--api", "/unix"+socket, "block", "get", c); err == nil {
		t.Error("the root can be read after repo gc")
	}
	// A web page gets nothing.
	node := must(peers.NewNode(s.RPC))(t)
	r := must(http.NewRequestWithContext(ctx, http.MethodPost, node.Base()+"/api/v0/id", nil))(t)
	r.Header.Set("Origin", "http://example.org")
	res := must(node.RoundTrip(r))(t)
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("a web page is answered %d", res.StatusCode)
	}
}
