package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/denylist"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/psa"
)

// deniedRig is a server with a gateway and a list, an account, and another
// server that has things to pin.
type deniedRig struct {
	*Program
	t              *testing.T
	log            *logtest.Lines
	list           string
	source         *Program
	account, token string
}

func newDeniedRig(t *testing.T) *deniedRig {
	t.Helper()
	lists := t.TempDir()
	p, lines := withGateway(t, func(c *config.Config) {
		c.Denylist.Dirs = []string{lists}
		c.Node.AllowPrivateAddresses = true
	})
	a, err := p.core.auth.AddAccount(t.Context(), auth.NewAccount{Email: "alice@example.org", Password: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := p.core.auth.CreateDeviceToken(t.Context(), a.ID, "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	source, _ := runProgram(t)
	return &deniedRig{p, t, lines, filepath.Join(lists, "mine.deny"), source, a.ID, token}
}

// deny writes the list, and waits until it is in effect.
func (r *deniedRig) deny(cs ...cid.Cid) {
	r.t.Helper()
	var text strings.Builder
	for _, c := range cs {
		fmt.Fprintf(&text, "/ipfs/%s\n", c)
	}
	_, next := r.denials.List.Changes()
	if err := os.WriteFile(r.list, []byte(text.String()), 0o644); err != nil {
		r.t.Fatal(err)
	}
	select {
	case <-next:
	case <-time.After(logtest.Patience):
		r.t.Fatal("the list is not read")
	}
}

func (r *deniedRig) post(c cid.Cid) (*http.Response, []byte) {
	r.t.Helper()
	body, err := json.Marshal(psa.Pin{CID: c.String(), Origins: r.source.node.Addrs()})
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.URL()+PSAPath+"/pins", bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer, got
}

// pin asks for a DAG, and gives the request.
func (r *deniedRig) pin(c cid.Cid) pin.View {
	r.t.Helper()
	answer, body := r.post(c)
	if answer.StatusCode != http.StatusAccepted {
		r.t.Fatalf("pin %s: %s %s", c, answer.Status, body)
	}
	var made psa.PinStatus
	if err := json.Unmarshal(body, &made); err != nil {
		r.t.Fatal(err)
	}
	v, err := r.pins.Get(r.t.Context(), r.account, made.RequestID)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// until waits for a request to be as it should.
func (r *deniedRig) until(v pin.View, what string, ok func(pin.View) bool) {
	r.t.Helper()
	for deadline := time.Now().Add(logtest.Patience); !ok(v); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("it did not happen that %s: the pin is %s, %v", what, v.Status, v.Info)
		}
		var err error
		if v, err = r.pins.Get(r.t.Context(), r.account, v.ID); err != nil {
			r.t.Fatal(err)
		}
	}
}

// listed is the line of `holdfast pin ls` about a request.
func (r *deniedRig) listed(v pin.View) string {
	r.t.Helper()
	pins, err := command(r.t, r.Program).Pins(r.t.Context(), "", []string{"queued", "pinning", "pinned", "failed"})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, p := range pins {
		if p.RequestID == v.ID {
			return string(p.Status) + " " + p.Info["status_details"]
		}
	}
	r.t.Fatalf("`holdfast pin ls` does not have %s: %+v", v.ID, pins)
	return ""
}

// given asks the server for a block in every way, and reports whether it is given.
func (r *deniedRig) given(b blocks.Block) (gateway int, bitswap bool) {
	r.t.Helper()
	gateway, _ = get(r.t, r.gateway.url()+"/ipfs/"+b.Cid().String()+"?format=raw")
	peer, _ := testProgram(r.t, testDataDir(r.t))
	peer.Config.Node.AllowPrivateAddresses = true
	if err := peer.Run(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	defer peer.Close()
	// A denied block never comes. Another block, asked for at the same time, shows when it
	// would have come.
	ctx, cancel := context.WithTimeout(r.t.Context(), logtest.Patience)
	defer cancel()
	fetch := func(c cid.Cid, a pin.Attempt, done chan<- error) {
		_, err := peer.node.Fetch(ctx, pin.Job{DAG: pin.DAGOf(c), Attempt: a, Origins: []pin.Origin{{Addr: r.node.Addrs()[0]}},
			Progress: new(pin.Progress), Slot: freeSlot{}, IdleTimeout: time.Minute})
		done <- err
	}
	wanted, beacon := make(chan error, 1), make(chan error, 1)
	go fetch(cid.NewCidV1(cid.Raw, b.Cid().Hash()), 1, wanted)
	go fetch(r.beacon().Cid(), 2, beacon)
	if err := <-beacon; err != nil {
		r.t.Fatal(err)
	}
	select {
	case err := <-wanted:
		bitswap = err == nil
	case <-time.After(500 * time.Millisecond): // long after the other
	}
	cancel()
	return gateway, bitswap
}

// beacon is a block that is always given.
func (r *deniedRig) beacon() blocks.Block {
	b := blocks.NewBlock([]byte("beacon"))
	raw, err := blocks.NewBlockWithCid(b.RawData(), cid.NewCidV1(cid.Raw, b.Cid().Hash()))
	if err != nil {
		r.t.Fatal(err)
	}
	return raw
}

// freeSlot is a worker that is always there.
type freeSlot struct{}

func (freeSlot) Acquire(ctx context.Context) error { return ctx.Err() }
func (freeSlot) Release()                          {}

// Denied before it is pinned: the request is refused, and so is a DAG that has
// it inside, with the reason.
func TestDeniedBeforePinning(t *testing.T) {
	r := newDeniedRig(t)
	root, leaf := twoBlocks(t)
	hold(t, r.source, root, leaf)
	r.deny(leaf.Cid())

	answer, body := r.post(leaf.Cid())
	var f psa.Failure
	if err := json.Unmarshal(body, &f); err != nil || answer.StatusCode != http.StatusUnavailableForLegalReasons ||
		f.Error.Reason != "UNAVAILABLE_FOR_LEGAL_REASONS" || !strings.Contains(f.Error.Details, "denylist") {
		t.Errorf("POST: %s %s, %v", answer.Status, body, err)
	}
	_, err := command(t, r.Program).AddPin(t.Context(), "", psa.Pin{CID: leaf.Cid().String()})
	if err == nil || !strings.Contains(err.Error(), "denylist") {
		t.Errorf("`holdfast pin add`: %v", err)
	}
	page, err := r.pins.List(t.Context(), r.account, pin.Query{Statuses: pin.Statuses()})
	if err != nil || page.Count != 0 {
		t.Errorf("%d requests were made, %v", page.Count, err)
	}

	v := r.pin(root.Cid())
	r.until(v, "it fails", func(v pin.View) bool { return v.Status == pin.Failed })
	if line := r.listed(v); !strings.Contains(line, "failed") || !strings.Contains(line, "block "+leaf.Cid().String()+" is on a denylist of this server") {
		t.Errorf("`holdfast pin ls` has %q", line)
	}
	r.log.Await(t, "mine.deny:1")
	if has, err := r.core.store.Blockstore().Has(t.Context(), leaf.Cid()); err != nil || has {
		t.Errorf("it was fetched: %v, %v", has, err)
	}
}

// Denied while it is pinned: it fails, whether the block has come or not.
func TestDeniedWhilePinning(t *testing.T) {
	r := newDeniedRig(t)
	r.deny() // a list that is empty
	root, _ := twoBlocks(t)
	hold(t, r.source, root) // the leaf never comes
	v, nobody := r.pin(root.Cid()), r.pin(blocks.NewBlock([]byte("nobody has it")).Cid())
	r.until(v, "the root comes", func(v pin.View) bool { return v.Info["blocks"] == "1" })
	r.until(nobody, "it is looked for", func(v pin.View) bool { return v.Status == pin.Pinning })
	r.deny(root.Cid(), nobody.Root)
	for _, v := range []pin.View{v, nobody} {
		r.until(v, "it fails", func(v pin.View) bool { return v.Status == pin.Failed })
		if line := r.listed(v); !strings.Contains(line, "is on a denylist of this server") {
			t.Errorf("`holdfast pin ls` has %q", line)
		}
	}
	if gateway, bitswap := r.statusOf(root); gateway == http.StatusOK || bitswap {
		t.Errorf("it is given: %d by the gateway, %v by the block store", gateway, bitswap)
	}
}

// statusOf is for a server without a peer.
func (r *deniedRig) statusOf(b blocks.Block) (gateway int, served bool) {
	r.t.Helper()
	gateway, _ = get(r.t, r.gateway.url()+"/ipfs/"+b.Cid().String()+"?format=raw")
	has, _ := r.node.Served().Has(r.t.Context(), b.Cid())
	return gateway, has
}

// Denied after it was pinned: it stays pinned, says so, and is given to nobody
// until it is denied no more.
func TestDeniedAfterPinning(t *testing.T) {
	r := newDeniedRig(t)
	root, leaf := twoBlocks(t)
	hold(t, r.source, root, leaf)
	hold(t, r.Program, r.beacon())
	v := r.pin(root.Cid())
	r.until(v, "it is pinned", func(v pin.View) bool { return v.Status == pin.Pinned })
	for _, b := range []blocks.Block{root, leaf} {
		if gateway, bitswap := r.given(b); gateway != http.StatusOK || !bitswap {
			t.Fatalf("before, %s: %d by the gateway, %v by Bitswap", b.Cid(), gateway, bitswap)
		}
	}

	r.deny(leaf.Cid())
	if gateway, bitswap := r.given(leaf); gateway != http.StatusGone || bitswap {
		t.Errorf("denied: %d by the gateway, %v by Bitswap", gateway, bitswap)
	}
	if status, body, err := getAll(t, r.gateway.url()+"/ipfs/"+root.Cid().String()+"?format=car"); err == nil || strings.Contains(body, string(leaf.RawData())) {
		t.Errorf("a CAR that lacks it is answered %d and ends with %v; it has the denied block: %v", status, err, strings.Contains(body, string(leaf.RawData())))
	}
	r.until(v, "it says so", func(v pin.View) bool { return v.Info["status_details"] != "" })
	if line := r.listed(v); !strings.Contains(line, "pinned") || !strings.Contains(line, "denylist") {
		t.Errorf("`holdfast pin ls` has %q", line)
	}
	r.log.Await(t, "a pin has a block that is denied")
	r.log.Await(t, "mine.deny:1")
	if answer, body := r.post(root.Cid()); answer.StatusCode != http.StatusUnavailableForLegalReasons {
		t.Errorf("the same DAG once more: %s %s", answer.Status, body)
	}

	r.deny()
	r.until(v, "it says no more", func(v pin.View) bool { return v.Info["status_details"] == "" })
	if gateway, bitswap := r.given(leaf); gateway != http.StatusOK || !bitswap {
		t.Errorf("denied no more: %d by the gateway, %v by Bitswap", gateway, bitswap)
	}
}

// A new version of a DAG is refused too if something denied is in what it shares with the old
// version: walks do not look there, as it is whole.
func TestDeniedInWhatIsShared(t *testing.T) {
	r := newDeniedRig(t)
	leaf := dagtest.Raw("a leaf")
	shared := dagtest.PB("shared", leaf.Cid())
	first, second := dagtest.PB("first", shared.Cid()), dagtest.PB("second", shared.Cid())
	hold(t, r.source, first, shared, leaf)
	hold(t, r.source, second, shared, leaf)
	v := r.pin(first.Cid())
	r.until(v, "it is pinned", func(v pin.View) bool { return v.Status == pin.Pinned })
	r.deny(leaf.Cid())
	r.until(v, "it says so", func(v pin.View) bool { return v.Info["status_details"] != "" })
	w := r.pin(second.Cid())
	r.until(w, "the new one fails", func(v pin.View) bool { return v.Status == pin.Failed })
	if line := r.listed(w); !strings.Contains(line, "block "+leaf.Cid().String()+" is on a denylist of this server") {
		t.Errorf("`holdfast pin ls` has %q", line)
	}
	r.deny()
	if err := command(t, r.Program).RetryPin(t.Context(), "", w.ID); err != nil {
		t.Fatal(err)
	}
	r.until(w, "it is pinned when nothing is denied", func(v pin.View) bool { return v.Status == pin.Pinned })
}

// A configured directory of denylists must exist. The directories of "auto" need not.
func TestOpenDenials(t *testing.T) {
	p, _ := testProgram(t, testDataDir(t))
	missing := filepath.Join(t.TempDir(), "missing")
	p.Config.Denylist.Dirs = []string{missing}
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("the error is %v", err)
	}

	c := blocks.NewBlock([]byte("denied")).Cid()
	d := testDataDir(t)
	auto, _ := testProgram(t, d)
	if err := auto.Run(t.Context()); err != nil { // which makes the directory a data directory
		t.Fatal(err)
	}
	if err := auto.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.File(denylistsName), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.File(denylistsName), "x.deny"), []byte("/ipfs/"+c.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	again, _ := testProgram(t, d)
	again.Config.Denylist.Dirs = config.Default().Denylist.Dirs
	if err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again.denials.DeniedDAG(pin.DAGOf(c)) == nil {
		t.Error("a list in the data directory does not count")
	}
	if none, err := denylist.OpenDenials(denylistDirs(config.Denylist{}, d), nil, nil); none != nil || err != nil || none.DeniedDAG(pin.DAGOf(c)) != nil || none.DeniedPath("/ipfs/"+c.String()) != nil {
		t.Errorf("without lists there are %v, %v", none, err)
	}
}
