package e2e

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestBadRequests sends what a server must refuse. Afterwards the server has lost nothing and still
// serves.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	s := serve(t, newData(t))
	c := login(t, s)
	ctx := within(t, 60*patience)
	kept := pinned(t, c, rig.Pin{CID: rig.IdentityCID([]byte("kept"))}, 20*patience)
	sum := bytes.Repeat([]byte{7}, 32)
	good := nobodyHas(801)

	for name, test := range map[string]struct {
		pin   rig.Pin
		field string // that details must name
	}{
		"no cid":        {rig.Pin{Name: "x"}, "cid"},
		"not a cid":     {rig.Pin{CID: "hello"}, "cid"},
		"unknown codec": {rig.Pin{CID: rig.CIDOf(0x300001, 0x12, sum)}, "cid"},
		"unknown hash":  {rig.Pin{CID: rig.CIDOf(rig.CodecRaw, 0x300002, sum)}, "cid"},
		"short hash":    {rig.Pin{CID: rig.CIDOf(rig.CodecRaw, 0x12, sum[:8])}, "cid"},
		"long name":     {rig.Pin{CID: good, Name: strings.Repeat("n", 256)}, "name"},
	} {
		_, err := c.Add(ctx, test.pin)
		if e := wantStatus(t, err, 400, "BAD_REQUEST"); !strings.Contains(e.Details, test.field) {
			t.Errorf("%s: details %q do not name %s", name, e.Details, test.field)
		}
	}
	// An origin that cannot be read is no error; info names it.
	made := must(c.Add(ctx, rig.Pin{CID: good, Origins: []string{"127.0.0.1:4001"}}))(t)
	if made.Info["origins_ignored"] == "" || len(made.Pin.Origins) != 0 {
		t.Errorf("a bad origin: %+v", made)
	}
	// SHA-1 is weak, and allowed: old Git data is addressed by it.
	must(c.Add(ctx, rig.Pin{CID: rig.CIDOf(rig.CodecRaw, 0x11, sum[:20])}))(t)

	huge := append(append([]byte(`{"cid":"`+good+`","name":"`), bytes.Repeat([]byte("n"), 10<<20)...), `"}`...)
	e := asStatus(t, c.Do(ctx, http.MethodPost, "/api/psa/pins", bytes.NewReader(huge), http.StatusAccepted, nil))
	if e.Code != http.StatusRequestEntityTooLarge || e.Reason == "" {
		t.Errorf("a body of 10 MB: %v", e)
	}
	e = asStatus(t, c.Do(ctx, http.MethodPost, "/api/psa/pins", strings.NewReader(`{"cid":`), http.StatusAccepted, nil))
	if e.Code != 400 || e.Reason != "BAD_REQUEST" {
		t.Errorf("half a body: %v", e)
	}
	if got := must(c.Get(ctx, kept.RequestID))(t); got.Status != "pinned" {
		t.Errorf("the pin is now %+v", got)
	}
}

// TestBlockThatDoesNotDecode pins a DAG with a node that is not of its codec. The request
// fails with a reason, and the server goes on.
func TestBlockThatDoesNotDecode(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	s := serve(t, allowPrivate(newData(t)))
	c := login(t, s)
	ctx := within(t, 60*patience)
	garbage := bytes.Repeat([]byte{0xff}, 40)
	for codec, number := range map[string]uint64{"dag-pb": rig.CodecDagPB, "dag-cbor": rig.CodecDagCBOR} {
		// Kubo stores the bytes as raw, and gives them to peers that ask by hash.
		must(source.PutBlock(ctx, "raw", garbage))(t)
		bad := rig.CID(number, garbage)
		root := must(source.PutDAG(ctx, "dag-cbor", `{"bad":{"/":"`+bad+`"}}`))(t)
		for _, cid := range []string{bad, root} {
			made := must(c.Add(ctx, rig.Pin{CID: cid, Origins: source.Addrs}))(t)
			failed := must(c.WaitStatus(ctx, made.RequestID, "failed", 10*time.Millisecond))(t)
			if !strings.Contains(failed.Info["status_details"], codec) {
				t.Errorf("%s: details are %q", codec, failed.Info["status_details"])
			}
		}
	}
	live := must(source.AddFile(ctx, rig.Random(802, 100_000), 16<<10))(t)
	pinned(t, c, rig.Pin{CID: live, Origins: source.Addrs}, 20*patience)
}

// TestReadOnlyDirectory serves from a directory that cannot be written.
func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	d := must(suite.NewData())(t)
	check(t, os.Mkdir(d.Dir, 0o555))
	if os.Geteuid() == 0 {
		// Permissions do not stop root.
		for dir := d.Dir; dir != suite.Dir; dir = filepath.Dir(dir) {
			check(t, os.Chmod(dir, 0o555))
		}
		d.As = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	_, err := d.Run(within(t, 30*patience), nil, "serve")
	if err == nil || !strings.Contains(err.Error(), "holdfast: error: ") || !strings.Contains(err.Error(), d.Dir) {
		t.Errorf("serve gives %v, want an error that names %s", err, d.Dir)
	}
}

// TestFullDisk runs a server with less free space than it must keep. It takes no new pins. Its pins
// can be read and removed.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	d := allowPrivate(newData(t))
	ctx := within(t, 90*patience)
	cid := must(source.AddFile(ctx, rig.Random(803, 300_000), 16<<10))(t)
	s := serve(t, d)
	c := login(t, s)
	kept := pinned(t, c, rig.Pin{CID: cid, Origins: source.Addrs}, 30*patience)
	removed := pinned(t, c, rig.Pin{CID: rig.IdentityCID([]byte("removed"))}, 30*patience)
	check(t, s.Stop())

	d.Env["HOLDFAST_STORE_MIN_FREE_SPACE"] = "1000TiB"
	s = serve(t, d)
	c = login(t, s)
	_, err := c.Add(ctx, rig.Pin{CID: nobodyHas(804)})
	wantStatus(t, err, http.StatusInsufficientStorage, "INSUFFICIENT_STORAGE")
	check(t, c.Remove(ctx, removed.RequestID))
	if all := must(c.All(ctx))(t); len(all) != 1 || all[0].RequestID != kept.RequestID || all[0].Status != "pinned" {
		t.Errorf("requests are %+v, want %s pinned", all, kept.RequestID)
	}
	sameFromHoldfast(t, ctx, s, map[string]string{cid: carHash(t, ctx, source, cid)})
}
