package rpc

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// readers are the commands that read a CID.
var readers = []string{"block/get", "block/stat", "cat", "dag/export", "dag/get", "dag/stat", "get", "ls", "refs"}

func TestAnotherAccountsContentCannotBeRead(t *testing.T) {
	w := newWorld(t)
	file := w.file(numbered(2500))
	root := w.dir(entry{"f", file})
	w.pin("alice", root.Cid(), pin.Pinned)
	w.pin("carol", root.Cid(), pin.Pinning)
	w.pin("carol", w.dir().Cid(), pin.Pinned)
	leaf := file.Links()[0].Cid
	for _, command := range readers {
		for _, path := range []string{root.Cid().String(), file.Cid().String(), leaf.String(), "/ipfs/" + root.Cid().String() + "/f"} {
			for _, stranger := range []string{"bob", "carol"} { // who has something else, or has it not yet
				w.refused(stranger, command, arg(path), http.StatusBadRequest, "block was not found locally (offline): ipld: could not find "+
					strings.TrimSuffix(strings.TrimPrefix(path, "/ipfs/"), "/f"))
			}
			switch {
			case command == "cat" && path == root.Cid().String(): // a directory
			default:
				w.good("alice", command, arg(path))
			}
			w.refused("", command, arg(path), http.StatusUnauthorized, "token")
		}
	}
}

// A raw block that somebody pinned may have bytes that are a directory: what that links to
// is not theirs.
func TestAnotherCodecIsNoWayToOthersContent(t *testing.T) {
	w := newWorld(t)
	secret := w.add(merkledag.NewRawNode([]byte("a secret")))
	w.pin("alice", secret.Cid(), pin.Pinned)
	trap := w.dir(entry{"secret", secret})
	raw, err := blocks.NewBlockWithCid(trap.RawData(), cid.NewCidV1(cid.Raw, trap.Cid().Hash()))
	if err != nil {
		t.Fatal(err)
	}
	w.pin("bob", raw.Cid(), pin.Pinned)
	inline, err := multihash.Sum(trap.RawData(), multihash.IDENTITY, -1)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		trap.Cid().String() + "/secret", "/ipld/" + trap.Cid().String() + "/Links/0/Hash",
		cid.NewCidV1(cid.DagProtobuf, inline).String() + "/secret",
		cid.NewCidV1(cid.DagProtobuf|1<<16, trap.Cid().Hash()).String() + "/secret", // keys have 16 bits of a codec
	} {
		for _, command := range readers {
			w.refused("bob", command, arg(path), http.StatusBadRequest, "could not find")
		}
	}
	if got := w.good("bob", "cat", arg(raw.Cid())); string(got) != string(trap.RawData()) {
		t.Errorf("bob's own block is %q", got)
	}
	// Of what is Alice's as a directory, the bytes are hers under the codec raw.
	w.pin("alice", trap.Cid(), pin.Pinned)
	if got := w.good("alice", "block/get", arg(raw.Cid())); string(got) != string(trap.RawData()) {
		t.Errorf("the bytes of a directory are %q", got)
	}
	data, err := multihash.Sum([]byte("inline"), multihash.IDENTITY, -1)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.good("bob", "cat", arg(cid.NewCidV1(cid.Raw, data))); string(got) != "inline" {
		t.Errorf("a CID that is its own block is %q", got)
	}
}

// A block that too many things contain is not anybody's by its CID, and is by a path.
func TestTooMuchAbove(t *testing.T) {
	w := newWorld(t)
	shared := w.add(merkledag.NewRawNode([]byte("shared")))
	root := w.dir(entry{"f", shared})
	w.pin("alice", root.Cid(), pin.Pinned)
	w.crowded = true
	w.refused("alice", "cat", arg(shared.Cid()), http.StatusBadRequest, "name it by a path that begins with the root of a pin")
	if got := w.good("alice", "cat", arg(root.Cid().String()+"/f")); string(got) != "shared" {
		t.Errorf("by its path it is %q", got)
	}
}

func TestDenied(t *testing.T) {
	w := newWorld(t)
	file := w.file(numbered(2500))
	root := w.dir(entry{"f", file})
	w.pin("alice", root.Cid(), pin.Pinned)
	const text = "on a denylist"
	w.denied = func(path string) error {
		if strings.HasSuffix(path, "/f") {
			return pin.ErrDenied
		}
		return nil
	}
	for _, command := range readers {
		w.refused("alice", command, arg(root.Cid().String()+"/f"), http.StatusUnavailableForLegalReasons, text)
	}
	w.denied = nil
	leaf := file.Links()[1].Cid
	w.blocks.set(func(c cid.Cid) error {
		if c.Equals(leaf) {
			return pin.ErrDenied
		}
		return nil
	})
	w.refused("alice", "block/get", arg(leaf), http.StatusUnavailableForLegalReasons, text)
	for _, command := range []string{"cat", "get", "dag/export"} { // some of it may be sent by then
		a := w.ask("alice", command, arg(file.Cid()))
		if behind := a.trailer.Get(headerStreamError); a.status == http.StatusOK && !strings.Contains(behind, text) ||
			a.status != http.StatusOK && !strings.Contains(string(a.body), text) {
			t.Errorf("%s answers %d, and behind that %q", command, a.status, behind)
		}
	}
}

func TestFaultBehindTheFirstByte(t *testing.T) {
	w := newWorld(t)
	file := w.file(numbered(900_000))
	w.pin("alice", file.Cid(), pin.Pinned)
	last := file
	for len(last.Links()) > 0 {
		nd, err := w.dag.Get(t.Context(), last.Links()[len(last.Links())-1].Cid)
		if err != nil {
			t.Fatal(err)
		}
		last = nd
	}
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("a secret") },
		"panic": func() error { panic("a secret") },
	} {
		w.blocks.set(func(c cid.Cid) error {
			if c.Equals(last.Cid()) {
				return fail()
			}
			return nil
		})
		for _, command := range []string{"cat", "get", "dag/export"} {
			from := len(w.lines.String())
			a := w.ask("alice", command, arg(file.Cid()))
			behind, logged := a.trailer.Get(headerStreamError), w.lines.String()[from:]
			if a.status != http.StatusOK || !strings.HasPrefix(behind, "something went wrong on the server") || strings.Contains(behind, "secret") {
				t.Errorf("%s, %s: %d, and behind that %q", command, name, a.status, behind)
			}
			if strings.Count(logged, "a secret") != 1 {
				t.Errorf("%s, %s: the log has %s", command, name, logged)
			}
		}
	}
}
