package daemon

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-car/v2"
	"github.com/ipld/go-car/v2/storage"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cluster/clustertest"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// carOf is a CAR with one root.
func carOf(t *testing.T, root cid.Cid, all ...blocks.Block) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := storage.NewWritable(&out, []cid.Cid{root}, car.WriteAsCarV1(true))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		if err := w.Put(t.Context(), b.Cid().KeyString(), b.RawData()); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func (u *uploader) importCAR(b []byte) (status int, answer string) {
	return u.send("dag/import", io.MultiReader(strings.NewReader(formHead), bytes.NewReader(b), strings.NewReader("\r\n--x--\r\n")))
}

// What is uploaded to a front is on the cluster's nodes when the upload is answered, and not at the front.
func TestFrontUploads(t *testing.T) {
	c := clustertest.New(t, 3)
	p := frontOver(t, c, testDataDir(t))
	alice := newUploader(t, p, "alice@example.org")

	check := func(root cid.Cid, all ...blocks.Block) {
		t.Helper()
		if n := c.Copies(root.String()); n < 2 {
			t.Errorf("%s has %d copies", root, n)
		}
		for _, b := range all {
			if !slices.ContainsFunc([]int{0, 1, 2}, func(i int) bool {
				return bytes.Equal(c.Peer(i).Node.Block(string(b.Cid().Hash())), b.RawData())
			}) {
				t.Errorf("no node was sent block %s", b.Cid())
			}
		}
		v, err := p.pins.List(t.Context(), alice.account, pin.Query{DAGs: []pin.DAG{pin.DAGOf(root)}, Limit: 1})
		if n, size := dagtest.Distinct(all); err != nil || v.Count != 1 || v.Views[0].Status != pin.Pinned ||
			len(all) > 0 && v.Views[0].Totals.Blocks != uint64(n) || len(all) > 0 && v.Views[0].Totals.Bytes != uint64(size) {
			t.Errorf("the account has %+v, %v, want %d blocks of %d bytes", v, err, n, size)
		}
	}

	content := random(1, 600_000)
	root := alice.add(content)
	check(root)
	if c.Peer(0).Node.Block(string(root.Hash())) == nil {
		t.Error("the root is not at the first node")
	}
	for _, chunk := range [][]byte{content[:256<<10], content[256<<10 : 512<<10], content[512<<10:]} {
		if !bytes.Equal(c.Peer(0).Node.Block(string(blocks.NewBlock(chunk).Cid().Hash())), chunk) {
			t.Errorf("a chunk of %d bytes is not at the first node", len(chunk))
		}
	}
	status, answer := alice.send("block/put?pin=true", io.MultiReader(strings.NewReader(formHead), strings.NewReader("a block"), strings.NewReader("\r\n--x--\r\n")))
	if one := dagtest.Raw("a block"); status != http.StatusOK {
		t.Errorf("block/put is answered %d %s", status, answer)
	} else {
		check(one.Cid(), one)
	}

	// A peer puts all blocks of a CAR with one codec and one hash function, and knows few codecs.
	sha2, sha3, blake := dagtest.Raw("by SHA2-256"), dagtest.Hashed(cid.Raw, multihash.SHA3_256, []byte("by SHA3-256")), dagtest.Hashed(cid.Raw, multihash.BLAKE2B_MIN+31, []byte("by BLAKE2b"))
	below := dagtest.PB("below", sha2.Cid(), sha3.Cid())
	top := dagtest.JSON("top", below.Cid(), blake.Cid(), sha2.Cid(), dagtest.Identity(cid.Raw, []byte("inline")))
	if status, answer := alice.importCAR(carOf(t, top.Cid(), top, below, blake, sha3, sha2)); status != http.StatusOK {
		t.Errorf("dag/import is answered %d %s", status, answer)
	} else {
		check(top.Cid(), top, below, sha2, sha3, blake)
	}

	// A node that refuses is passed over.
	c.Peer(0).Node.SetDown(true)
	root = alice.add(random(2, 1000))
	if c.Peer(1).Node.Block(string(root.Hash())) == nil {
		t.Error("the second node does not have what the first refused")
	}
	if at := c.Get(root.String()).Allocations; !slices.Contains(at, c.Peer(1).ID) {
		t.Errorf("it is pinned on %v, and not on %s, which was sent it", at, c.Peer(1).ID)
	}
	c.Peer(0).Node.SetDown(false)
	check(root)

	// The root is all that came, and a front looks for nothing.
	elsewhere := dagtest.Raw("elsewhere").Cid()
	parent := dagtest.PB("parent", elsewhere)
	if status, answer := alice.importCAR(carOf(t, parent.Cid(), parent)); status != http.StatusOK ||
		!strings.Contains(answer, "PinErrorMsg") || !strings.Contains(answer, elsewhere.String()) {
		t.Errorf("a part of a DAG is answered %d %s", status, answer)
	}
	if c.Get(parent.Cid().String()) != nil {
		t.Error("a part of a DAG is pinned")
	}
	nothingLeft(t, p, 0)
}

// What goes wrong with an upload to a front leaves nothing there, and nothing in the cluster.
func TestFrontUploadsThatGoWrong(t *testing.T) {
	c := clustertest.New(t, 3)
	p, _ := testProgram(t, testDataDir(t))
	denied := random(1, 1000)
	p.Config.Denylist.Dirs = []string{deny(t, denied)}
	p.Config.Cluster.Peers, p.Config.Cluster.Nodes = c.URLs(), c.NodeURLs()
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	alice, bob := newUploader(t, p, "alice@example.org"), newUploader(t, p, "bob@example.org")
	leaf := dagtest.Raw("a leaf")
	root := dagtest.PB("a root", leaf.Cid())
	uploadsGoWrong(t, p, alice, bob, denied, carOf(t, root.Cid(), root, leaf), 20, 0, 0)
	if n := len(c.Pinset()); n != 15 {
		t.Errorf("the cluster has %d pins, want the 15 that were answered", n)
	}
	if c.Peer(0).Node.Block(string(leaf.Cid().Hash())) != nil {
		t.Error("a block of a CAR that was refused is at a node")
	}

	// Bytes count while they come, and what is pinned counts as it is on the nodes.
	if _, err := p.core.auth.SetQuota(t.Context(), alice.account, auth.NewQuota{Bytes: new(uint64(500_000))}); err != nil {
		t.Fatal(err)
	}
	body := func(seed uint64) io.Reader {
		return io.MultiReader(strings.NewReader(formHead), bytes.NewReader(random(seed, 300_000)), strings.NewReader("\r\n--x--\r\n"))
	}
	if status, answer := alice.send("add", body(9001)); status != http.StatusOK {
		t.Errorf("the first file is answered %d %s", status, answer)
	}
	if status, answer := alice.send("add", body(9002)); status != http.StatusConflict {
		t.Errorf("a file above the quota is answered %d %s", status, answer)
	}
	nothingLeft(t, p, 0)
}
