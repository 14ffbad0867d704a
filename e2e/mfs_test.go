package e2e

import (
	"bytes"
	"net/url"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestMFSPolicy: Kubo keeps its MFS root pinned. It replaces the pin when the root changes,
// so there is always only one. The policy does not dial the server's delegates, so the
// server dials the Kubo. It is on the same machine, at a private address: by default the
// server dials that because the request came from there.
func TestMFSPolicy(t *testing.T) {
	t.Parallel()
	kubo := startKubo(t, "kubo with a policy", "MFS_PIN_POLL_INTERVAL=200ms")
	s := serve(t, newData(t))
	c := login(t, s)
	ctx := within(t, 120*patience)

	write := func(path, body string) (root string) {
		t.Helper()
		must(kubo.Run(ctx, bytes.NewBufferString(body), "files", "write", "--create", "--parents", path))(t)
		var stat struct{ Hash string }
		check(t, kubo.RPC(ctx, "files/stat", url.Values{"arg": {"/"}}, &stat))
		return stat.Hash
	}
	// Wait until the one pin under the policy's name is of this root.
	settle := func(root string) rig.PinStatus {
		t.Helper()
		var last rig.PinResults
		err := rig.Poll(ctx, 20*time.Millisecond, func() (bool, error) {
			var err error
			last, err = c.List(ctx, url.Values{"name": {"mfs"}, "status": {"queued,pinning,pinned,failed"}})
			return last.Count == 1 && last.Results[0].Pin.CID == root && last.Results[0].Status == "pinned", err
		})
		if err != nil {
			t.Fatalf("%v: want one pin, of %s, pinned; last seen: %+v", err, root, last)
		}
		return last.Results[0]
	}

	first := write("/one", "first")
	addService(t, kubo, s, "mfs")
	must(kubo.Run(ctx, nil, "config", "--json", "Pinning.RemoteServices.mfs.Policies.MFS",
		`{"Enable": true, "PinName": "mfs", "RepinInterval": "1ns"}`))(t)
	before := settle(first)

	second := write("/two", "second")
	if second == first {
		t.Fatal("writing to MFS did not change its root")
	}
	after := settle(second)
	if after.RequestID == before.RequestID {
		t.Errorf("the replaced pin kept its id %s", after.RequestID)
	}
	_, err := c.Get(ctx, before.RequestID)
	wantStatus(t, err, 404, "NOT_FOUND")

	sum := carHash(t, ctx, kubo, second)
	kubo.Kill()
	sameFromHoldfast(t, ctx, s, map[string]string{second: sum})
}
