package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestShutdown ends a busy server with SIGTERM. The server ends within ten seconds with
// exit code 0, and removes run.json.
func TestShutdown(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	d := allowPrivate(newData(t))
	s := serve(t, d)
	c := login(t, s)
	ctx := within(t, 120*patience)
	cid := must(source.AddFile(ctx, rig.Random(701, 64<<20), 4<<10))(t)
	for i := range uint64(50) {
		must(c.Add(ctx, rig.Pin{CID: nobodyHas(7000 + i)}))(t)
	}
	busy := must(c.Add(ctx, rig.Pin{CID: cid, Origins: source.Addrs}))(t)
	check(t, rig.Poll(ctx, 5*time.Millisecond, func() (bool, error) {
		now, err := c.Get(ctx, busy.RequestID)
		return number(t, now.Info, "blocks") > 100 || now.Status == "pinned", err
	}))

	began := time.Now()
	check(t, s.Signal(syscall.SIGTERM))
	if err := s.Wait(within(t, 10*patience)); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	t.Logf("gone after %s", time.Since(began))
	if exists(d.RunPath()) {
		t.Error("run.json is still there")
	}

	again := serve(t, d)
	if again.PeerID != s.PeerID {
		t.Errorf("peer id %s became %s", s.PeerID, again.PeerID)
	}
	c.Base = again.HTTP
	began = time.Now()
	must(c.WaitStatus(ctx, busy.RequestID, "pinned", 20*time.Millisecond))(t)
	t.Logf("pinned %s after the restart", time.Since(began))
}

// TestSecondServer starts another server on the directory of one that runs.
func TestSecondServer(t *testing.T) {
	t.Parallel()
	d := newData(t)
	s := serve(t, d)
	c := login(t, s)
	ctx := within(t, 60*patience)
	out, err := d.Run(ctx, nil, "serve")
	if err == nil {
		t.Fatalf("a second server ran and ended well: %s", out)
	}
	for _, want := range []string{"holdfast: error: ", d.Dir} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	must(c.List(ctx, nil))(t) // the first still serves
	if !exists(d.RunPath()) {
		t.Error("run.json is gone")
	}
}

// TestBackupAndRestore does what the README says: stop, copy the whole directory, start the copy
// elsewhere. It is the same peer, its tokens work, and its pins are there.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	d := allowPrivate(newData(t))
	s := serve(t, d)
	c := login(t, s)
	ctx := within(t, 120*patience)
	device := must(d.AddToken(ctx, email, "laptop"))(t)
	cid := must(source.AddFile(ctx, rig.Random(702, 4<<20), 64<<10))(t)
	made := pinned(t, c, rig.Pin{CID: cid, Name: "kept", Origins: source.Addrs}, 30*patience)
	waiting := must(c.Add(ctx, rig.Pin{CID: nobodyHas(703), Name: "still waiting"}))(t)
	check(t, s.Stop())

	backup := filepath.Join(t.TempDir(), "backup")
	if out, err := exec.CommandContext(ctx, "cp", "-a", d.Dir, backup).CombinedOutput(); err != nil {
		t.Fatalf("cp -a: %v: %s", err, out)
	}
	restored := must(suite.NewData())(t)
	if out, err := exec.CommandContext(ctx, "cp", "-a", backup, restored.Dir).CombinedOutput(); err != nil {
		t.Fatalf("cp -a: %v: %s", err, out)
	}

	r := serve(t, restored)
	if r.PeerID != s.PeerID {
		t.Errorf("peer id %s became %s", s.PeerID, r.PeerID)
	}
	for name, token := range map[string]string{"access": c.Token, "device": device} {
		if _, err := rig.NewClient(r.HTTP, token).Get(ctx, made.RequestID); err != nil {
			t.Errorf("%s token: %v", name, err)
		}
	}
	all := must(login(t, r).All(ctx))(t)
	if len(all) != 2 || all[0].RequestID != waiting.RequestID || all[1].RequestID != made.RequestID || all[1].Status != "pinned" {
		t.Errorf("requests after the restore: %+v", all)
	}
	sameFromHoldfast(t, ctx, r, map[string]string{cid: carHash(t, ctx, source, cid)})
}
