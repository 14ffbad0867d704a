package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// backedUp is a server whose accounts have pins, and a backup of it.
type backedUp struct {
	*Program
	t          *testing.T
	alice, bob auth.Account
	place      string
	before     []string // what pinsOf gave
}

func (b *backedUp) account(email string) auth.Account {
	b.t.Helper()
	a, err := b.core.auth.AddAccount(b.t.Context(), auth.NewAccount{Email: email, Password: "correct horse battery"})
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// pinsOf lists all pins of both accounts, without their IDs.
func (b *backedUp) pinsOf() (all []string) {
	b.t.Helper()
	for _, email := range []string{b.alice.Email, b.bob.Email} {
		a, err := b.core.auth.AccountByEmail(b.t.Context(), email)
		if err != nil {
			all = append(all, email+" is not there")
			continue
		}
		page, err := b.pins.List(b.t.Context(), a.ID, pin.Query{Statuses: pin.Statuses(), Limit: 1000})
		if err != nil {
			b.t.Fatal(err)
		}
		for _, v := range page.Views {
			all = append(all, fmt.Sprint(email, " ", v.CID, " ", v.Name, " ", v.Meta, " ", v.Status, " ", v.Details))
		}
	}
	slices.Sort(all)
	return all
}

// hasPins compares what pinsOf gives.
func (b *backedUp) hasPins(want []string) {
	b.t.Helper()
	got := b.pinsOf()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			b.t.Errorf("there are %d pins, want %d; from the first that differs on: %v, want %v",
				len(got), len(want), got[min(i, len(got)):min(i+3, len(got))], want[min(i, len(want)):min(i+3, len(want))])
			return
		}
	}
}

func (b *backedUp) removeAll(id string) {
	b.t.Helper()
	if _, err := b.pins.RemoveAll(b.t.Context(), id); err != nil {
		b.t.Fatal(err)
	}
}

func (b *backedUp) reclaim() admin.Reclaimed {
	b.t.Helper()
	r, err := command(b.t, b.Program).Reclaim(b.t.Context(), func(admin.StoreProgress) {})
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *backedUp) restore(in admin.NewRestore) admin.Restored {
	b.t.Helper()
	in.From = b.place
	done, err := command(b.t, b.Program).Restore(b.t.Context(), in, func(admin.StoreProgress) {})
	if err != nil {
		b.t.Fatal(err)
	}
	return done
}

// verify looks for blocks that are damaged, missing or not known to the next reclaim.
func (b *backedUp) verify() {
	b.t.Helper()
	v, err := command(b.t, b.Program).Verify(b.t.Context(), false, func(admin.StoreProgress) {}, func(d admin.Damage) error {
		b.t.Errorf("damaged: %+v", d)
		return nil
	})
	if err != nil || v.Strays > 0 || v.BadRecords > 0 {
		b.t.Errorf("verify found %+v: %v", v.VerifyReport, err)
	}
}

// newBackedUp makes one. Bob has more than his quota allows, and a pin that failed. The DAG of
// Alice's first pin is at the source, too.
func newBackedUp(t *testing.T, source *Program) *backedUp {
	t.Helper()
	ctx := t.Context()
	p, _ := testProgram(t, testDataDir(t))
	p.Config.Node.AllowPrivateAddresses = true
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	b := &backedUp{Program: p, t: t, place: t.TempDir()}
	b.alice, b.bob = b.account("alice@example.org"), b.account("bob@example.org")
	root, leaf := twoBlocks(t)
	var origins []string
	if source != nil {
		hold(t, source, root, leaf)
		origins = source.node.Addrs()
	}
	holdFor(t, p, b.alice.ID, root, leaf)
	if _, err := p.core.store.Add(ctx, b.alice.ID, pin.Spec{
		CID: root.Cid().String(), Root: root.Cid(), Name: "again", Meta: map[string]string{"a": "b"}, Origins: origins,
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 140 { // several pages, and twice the same
		one := dagtest.Raw(fmt.Sprint("of bob ", i/2))
		holdFor(t, p, b.bob.ID, one)
	}
	failed := dagtest.Raw("of nobody")
	r, err := p.core.store.Add(ctx, b.bob.ID, pin.Spec{CID: failed.Cid().String(), Root: failed.Cid(), Name: "failed"})
	if err == nil {
		_, err = p.core.store.Fail(ctx, r.DAG(), "nobody has it")
	}
	if err == nil {
		few, pins := uint64(1), uint64(1)
		_, err = p.core.auth.SetQuota(ctx, b.bob.ID, auth.NewQuota{Bytes: &few, Pins: &pins})
	}
	if err == nil {
		_, err = command(t, p).Backup(ctx, admin.NewBackup{To: b.place}, func(admin.StoreProgress) {})
	}
	if err != nil {
		t.Fatal(err)
	}
	b.before = b.pinsOf()
	return b
}

// What was lost comes back into a running server, whatever the quotas are, and a second restore
// changes nothing.
func TestRestoreIntoARunningServer(t *testing.T) {
	ctx := t.Context()
	b := newBackedUp(t, nil)
	b.removeAll(b.alice.ID)
	later := dagtest.Raw("later") // so that what is restored is older than what there is
	holdFor(t, b.Program, b.alice.ID, later)
	b.removeAll(b.bob.ID)
	if _, err := b.core.auth.RemoveAccount(ctx, b.bob.ID); err != nil {
		t.Fatal(err)
	}
	if r := b.reclaim(); r.Blocks != 72 {
		t.Fatalf("reclaimed %+v", r)
	}
	done := b.restore(admin.NewRestore{Accounts: []string{b.alice.Email, b.bob.Email}})
	if done.Accounts != 1 || done.Requests != 143 || done.There != 0 || done.Waiting != 0 || done.Blocks != 72 || done.Missing != 0 {
		t.Errorf("restored %+v", done)
	}
	want := append([]string{fmt.Sprint(b.alice.Email, " ", later.Cid(), "  map[] pinned ")}, b.before...)
	slices.Sort(want)
	b.hasPins(want)
	bob, err := b.core.auth.AccountByEmail(ctx, b.bob.Email)
	if err != nil || bob.ID != b.bob.ID || bob.Quota != 1 || bob.QuotaPins != 1 || bob.PasswordHash == "" {
		t.Errorf("bob is %+v: %v", bob, err)
	}
	b.verify()
	if r := b.reclaim(); r.Blocks != 0 {
		t.Errorf("after the restore %d blocks were deleted", r.Blocks)
	}
	again := b.restore(admin.NewRestore{})
	if again.Accounts != 0 || again.Requests != 0 || again.There != 143 || again.Blocks != 0 || again.Waiting != 0 {
		t.Errorf("restored again %+v", again)
	}
	b.hasPins(want)
	// What is removed then is given back, as it would be of any pin.
	b.removeAll(b.alice.ID)
	b.removeAll(b.bob.ID)
	if r := b.reclaim(); r.Blocks != 73 {
		t.Errorf("after all was removed %d blocks were deleted", r.Blocks)
	}
}

// Only the accounts and pins that are named come back.
func TestRestoreSomeIntoARunningServer(t *testing.T) {
	b := newBackedUp(t, nil)
	page, err := b.pins.List(t.Context(), b.alice.ID, pin.Query{Name: "again", Limit: 1})
	if err != nil || len(page.Views) != 1 {
		t.Fatal(page, err)
	}
	b.removeAll(b.alice.ID)
	b.removeAll(b.bob.ID)
	b.reclaim()
	for _, in := range []admin.NewRestore{{Accounts: []string{"carol@example.org"}}, {Requests: []string{b.bob.ID}}} {
		in.From = b.place
		_, err := command(t, b.Program).Restore(t.Context(), in, func(admin.StoreProgress) {})
		if err == nil || !strings.Contains(err.Error(), "the backup has no") {
			t.Errorf("what is not there was restored: %v", err)
		}
	}
	if done := b.restore(admin.NewRestore{Requests: []string{page.Views[0].ID}}); done.Requests != 1 || done.Blocks != 2 {
		t.Errorf("restored %+v", done)
	}
	if got := b.pinsOf(); len(got) != 1 || !strings.Contains(got[0], "again map[a:b] pinned") {
		t.Errorf("restored %v", got)
	}
	if done := b.restore(admin.NewRestore{Accounts: []string{"BOB@example.org"}}); done.Requests != 141 || done.Blocks != 70 {
		t.Errorf("restored %+v", done)
	}
	b.verify()
	left, err := filepath.Glob(b.Data.File("tmp/restore-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left are %v: %v", left, err)
	}
}

// What is damaged in a backup is named, and fetched from a node that has it.
func TestRestoreFetchesWhatIsDamaged(t *testing.T) {
	source, _ := runProgram(t)
	b := newBackedUp(t, source)
	_, leaf := twoBlocks(t)
	damagePack(t, b.place, leaf)
	b.removeAll(b.alice.ID)
	b.removeAll(b.bob.ID)
	b.reclaim()
	done := b.restore(admin.NewRestore{})
	if done.Missing != 1 || len(done.MissingNamed) != 1 || done.MissingNamed[0] != leaf.Cid().String() || len(done.Damaged) == 0 {
		t.Errorf("restored %+v", done)
	}
	for deadline := time.Now().Add(logtest.Patience); ; time.Sleep(10 * time.Millisecond) {
		if slices.Equal(b.pinsOf(), b.before) {
			break
		}
		if time.Now().After(deadline) {
			b.hasPins(b.before)
			return
		}
	}
	b.verify()
}

// damagePack flips a bit of a block in the packs of a place.
func damagePack(t *testing.T, place string, in blocks.Block) {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(place, "*", "*.car"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range packs {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(b, in.RawData()); i >= 0 {
			b[i+len(in.RawData())/2] ^= 1
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("no pack has the block")
}

// A server that was restored with the identity of another does not start while that one answers.
func TestRestoredServerIsNotASecondOne(t *testing.T) {
	ctx := t.Context()
	old, _ := runProgram(t)
	place := t.TempDir()
	if _, err := command(t, old).Backup(ctx, admin.NewBackup{To: place, ServerKeys: true}, func(admin.StoreProgress) {}); err != nil {
		t.Fatal(err)
	}
	restored := func(without bool) *datadir.Dir {
		d := testDataDir(t)
		in := Restoration{NewRestore: admin.NewRestore{From: place}, Open: OpenPlace, ServerKeys: true, WithoutIdentity: without}
		if _, err := Restore(ctx, d, in, testConfig(), slog.New(slog.DiscardHandler), func(admin.StoreProgress) {}); err != nil {
			t.Fatal(err)
		}
		return d
	}
	start := func(d *datadir.Dir, takeOver bool) (*Program, error) {
		p, _ := testProgram(t, d)
		p.TakeOver = takeOver
		return p, p.Run(ctx)
	}

	d := restored(false)
	for range 2 { // it is not forgotten
		_, err := start(d, false)
		hinted, ok := errors.AsType[*hint.Error](err)
		if !ok || !strings.Contains(err.Error(), "still answers at /ip4/127.0.0.1/tcp/") || !strings.Contains(hinted.Hint, "--take-over") {
			t.Errorf("a second server started: %v", err)
		}
	}
	other, err := start(restored(true), false)
	if err != nil || other.node.PeerID() == old.node.PeerID() || other.core.instance != old.core.instance {
		t.Errorf("without the identity: %v", err)
	}
	forced, err := start(restored(false), true)
	if err != nil || forced.node.PeerID() != old.node.PeerID() {
		t.Errorf("a server that takes over: %v", err)
	}
	if err := errors.Join(forced.Close(), old.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p, err := start(d, false)
		if err != nil || p.node.PeerID() != old.node.PeerID() {
			t.Fatalf("the old server is gone, and the new one does not start: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Through the DHT it is found that the old server has moved.
func TestRestoredServerFindsOneThatMoved(t *testing.T) {
	ctx := t.Context()
	inDHT := func(d *datadir.Dir, bootstrap []string) *Program {
		p, _ := testProgram(t, d)
		p.Config.Node.Routing, p.Config.Node.Bootstrap, p.Config.Node.AllowPrivateAddresses = "auto", bootstrap, true
		p.Config.Node.Reachability = "public"
		return p
	}
	hub := inDHT(testDataDir(t), []string{})
	if err := hub.Run(ctx); err != nil {
		t.Fatal(err)
	}
	place, moving := t.TempDir(), testDataDir(t)
	old := inDHT(moving, hub.node.Addrs())
	if err := old.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := command(t, old).Backup(ctx, admin.NewBackup{To: place, ServerKeys: true}, func(admin.StoreProgress) {}); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	old = inDHT(moving, hub.node.Addrs()) // at another port
	if err := old.Run(ctx); err != nil {
		t.Fatal(err)
	}
	d := testDataDir(t)
	in := Restoration{NewRestore: admin.NewRestore{From: place}, Open: OpenPlace, ServerKeys: true}
	if _, err := Restore(ctx, d, in, testConfig(), slog.New(slog.DiscardHandler), func(admin.StoreProgress) {}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(logtest.Patience); hub.node.Stats().Peers == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the old server did not join the DHT")
		}
	}
	err := inDHT(d, hub.node.Addrs()).Run(ctx)
	if err == nil || !strings.Contains(err.Error(), "still answers at ") {
		t.Errorf("a second server started: %v", err)
	}
}
