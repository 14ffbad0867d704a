package e2e

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestSourceGoesAway: a source has nine tenths of a DAG and goes away for longer than
// stall_timeout and two reclaims, and the server is killed meanwhile. The pin stays pinning, says
// what is missing, and goes on by itself when somebody with the rest connects, who sends only that.
func TestSourceGoesAway(t *testing.T) {
	t.Parallel()
	const missing = 200
	d := newData(t)
	d.Env["HOLDFAST_PIN_STALL_TIMEOUT"] = "2s"
	d.Env["HOLDFAST_STORE_RECLAIM_INTERVAL"] = "1s"
	s := serve(t, d)
	c := login(t, s)
	ctx := within(t, 90*patience)
	first, second := startKubo(t, "source that goes away"), startKubo(t, "source that comes back")
	var cid string
	for _, k := range []*rig.Kubo{first, second} {
		cid = must(k.AddFile(ctx, rig.Random(504, 2000*16<<10), 16<<10))(t)
	}
	all := lines(must(first.Run(ctx, nil, "refs", "-r", "-u", cid))(t))
	leaves := slices.DeleteFunc(slices.Clone(all), func(c string) bool { return !strings.HasPrefix(c, "bafkrei") })
	lost := leaves[len(leaves)-missing:]
	check(t, first.RPC(ctx, "block/rm", url.Values{"arg": lost}, nil))

	made := must(c.Add(ctx, rig.Pin{CID: cid}))(t)
	connect(t, first, s)
	check(t, rig.Poll(ctx, 20*time.Millisecond, func() (bool, error) {
		now, err := c.Get(ctx, made.RequestID)
		return err == nil && number(t, now.Info, "blocks") == 1+len(all)-missing, err
	}))
	first.Kill()
	away := time.Now()
	for killed := false; time.Since(away) < 16*time.Second; time.Sleep(100 * time.Millisecond) {
		if !killed && time.Since(away) > 8*time.Second {
			killed = true
			s.Kill()
			s = serve(t, d)
			c = rig.NewClient(s.HTTP, c.Token)
		}
		now := must(c.Get(ctx, made.RequestID))(t)
		if now.Status != "pinning" {
			t.Fatalf("without its source it is %s: %v", now.Status, now.Info)
		}
	}
	check(t, rig.Poll(ctx, 100*time.Millisecond, func() (bool, error) {
		now, err := c.Get(ctx, made.RequestID)
		named := slices.IndexFunc(lost, func(c string) bool { return strings.Contains(now.Info["status_details"], c) })
		return named >= 0 && strings.Contains(now.Info["status_details"], "of the blocks that are wanted now"), err
	}))
	connect(t, second, s)
	must(c.WaitStatus(ctx, made.RequestID, "pinned", 20*time.Millisecond))(t)
	const window = 64
	if sent := must(second.BlocksSent(ctx))(t); sent > missing+window {
		t.Errorf("the source sent %d blocks after its return, and %d were missing", sent, missing)
	}
}
