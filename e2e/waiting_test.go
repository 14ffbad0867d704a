package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestThousandDeadPins: a thousand pins that nobody can serve wait in front of a live one.
func TestThousandDeadPins(t *testing.T) {
	t.Parallel()
	const dead, clients = 1000, 8
	source := sharedSource(t)
	d := allowPrivate(newData(t))
	const stranger = "barnacle@example.org"
	check(t, d.AddUser(t.Context(), stranger, password))
	s := serve(t, d)
	c := login(t, s)
	ctx := within(t, 90*patience)
	own := must(source.AddFile(ctx, rig.Random(501, 200_000), 16<<10))(t)
	others := must(source.AddFile(ctx, rig.Random(502, 200_000), 16<<10))(t)

	seeds := make(chan uint64, dead)
	for i := range uint64(dead) {
		seeds <- 5000 + i
	}
	close(seeds)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for seed := range seeds {
				if _, err := c.Add(ctx, rig.Pin{CID: nobodyHas(seed), Name: fmt.Sprint("dead ", seed)}); err != nil {
					t.Errorf("add: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()

	// Seconds, while pins that are parked because they have no source wait for minutes. A test in
	// node/exchange shows that an origin is asked at once.
	soon := 10 * patience
	began := time.Now()
	pinned(t, c, rig.Pin{CID: own, Origins: source.Addrs}, soon)
	t.Logf("own live pin after %s", time.Since(began))
	began = time.Now()
	other := rig.NewClient(s.HTTP, must(rig.Login(ctx, s.HTTP, stranger, password))(t))
	pinned(t, other, rig.Pin{CID: others, Origins: source.Addrs}, soon)
	t.Logf("another account's live pin after %s", time.Since(began))

	page := must(c.List(ctx, map[string][]string{"status": {"queued,pinning"}, "limit": {"1"}}))(t)
	if page.Count != dead {
		t.Errorf("%d pins are waiting, want %d", page.Count, dead)
	}
}

// TestLateSource pins a CID that nobody has yet. When a peer that has it comes, the pin goes on at
// once.
func TestLateSource(t *testing.T) {
	t.Parallel()
	s := serve(t, newData(t))
	c := login(t, s)
	ctx := within(t, 90*patience)
	late := startKubo(t, "late source")
	cid := must(late.AddFile(ctx, rig.Random(503, 500_000), 16<<10))(t)
	made := must(c.Add(ctx, rig.Pin{CID: cid}))(t)
	must(c.WaitStatus(ctx, made.RequestID, "pinning", 10*time.Millisecond))(t)
	connect(t, late, s)
	must(c.WaitStatus(within(t, 20*patience), made.RequestID, "pinned", 10*time.Millisecond))(t)
}

// TestPrivateOrigin leaves allow_private_addresses off. A pin whose only origin is private
// then waits and says why, unless its request surely came from there. `ipfs pin remote add`
// works all the same, since Kubo dials the delegates.
func TestPrivateOrigin(t *testing.T) {
	t.Parallel()
	kubo := startKubo(t, "kubo on the same host")
	s := serve(t, newData(t))
	c := login(t, s)
	ctx := within(t, 90*patience)
	first := must(kubo.AddFile(ctx, rig.Random(504, 300_000), 16<<10))(t)
	second := must(kubo.AddFile(ctx, rig.Random(505, 300_000), 16<<10))(t)

	made := must(byProxy(t, s, c).Add(ctx, rig.Pin{CID: first, Origins: kubo.Addrs}))(t)
	if len(made.Delegates) == 0 {
		t.Error("no delegates")
	}
	for _, addr := range made.Delegates {
		if !strings.HasSuffix(addr, "/p2p/"+s.PeerID) {
			t.Errorf("delegate %s does not end in the peer id", addr)
		}
	}
	var last rig.PinStatus
	err := rig.Poll(ctx, 20*time.Millisecond, func() (bool, error) {
		var err error
		last, err = c.Get(ctx, made.RequestID)
		return strings.Contains(last.Info["status_details"], "allow_private_addresses"), err
	})
	if err != nil {
		t.Fatalf("%v: info does not name allow_private_addresses: %v", err, last.Info)
	}
	if last.Status != "pinning" && last.Status != "queued" {
		t.Errorf("status is %s", last.Status)
	}

	addService(t, kubo, s, "same-host")
	must(kubo.Run(ctx, nil, "pin", "remote", "add", "--service=same-host", second))(t)
	// The peer that came to deliver the second has the first as well.
	must(c.WaitStatus(ctx, made.RequestID, "pinned", 20*time.Millisecond))(t)
}
