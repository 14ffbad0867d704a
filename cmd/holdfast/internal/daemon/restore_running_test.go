package daemon

import (
	"log/slog"
	"testing"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// What was removed or revoked here does not come back by itself.
func TestRestoreKeepsWhatWasRemoved(t *testing.T) {
	ctx := t.Context()
	b := newBackedUp(t, nil)
	var ids []string
	for _, name := range []string{"kept", "revoked"} {
		made, _, err := b.core.auth.CreateDeviceToken(ctx, b.bob.ID, name, 0)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, made.ID)
	}
	if _, err := command(t, b.Program).Backup(ctx, admin.NewBackup{To: b.place}, func(admin.StoreProgress) {}); err != nil {
		t.Fatal(err)
	}
	b.removeAll(b.bob.ID)
	_, err := b.core.auth.RevokeToken(ctx, ids[1])
	if err == nil {
		_, err = b.core.auth.RemoveAccount(ctx, b.bob.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	done := b.restore(admin.NewRestore{})
	if done.Accounts != 0 || len(done.LeftOut) != 1 || done.LeftOut[0].Account != b.bob.Email || done.LeftOut[0].Pins != 141 || !done.LeftOut[0].Removed {
		t.Errorf("restored %d accounts, left out %+v", done.Accounts, done.LeftOut)
	}
	done = b.restore(admin.NewRestore{Accounts: []string{"BOB@example.org"}})
	if len(done.Made) != 1 || done.Made[0] != (admin.MadeAccount{Email: b.bob.Email}) || done.RevokedTokens != 1 {
		t.Errorf("made %+v without %d tokens", done.Made, done.RevokedTokens)
	}
	tokens, err := b.core.store.ListTokens(ctx, b.bob.ID)
	if err != nil || len(tokens) != 1 || tokens[0].ID != ids[0] {
		t.Errorf("the tokens are %+v: %v", tokens, err)
	}
}

// A pin that failed since the backup is tried again, or made anew, and gets its blocks from it.
func TestRestoreOfWhatFailedSince(t *testing.T) {
	ctx := t.Context()
	b := newBackedUp(t, nil)
	late := dagtest.Raw("late")
	same, err := b.core.store.Add(ctx, b.alice.ID, pin.Spec{CID: late.Cid().String(), Root: late.Cid()})
	if err == nil { // it is queued
		_, err = command(t, b.Program).Backup(ctx, admin.NewBackup{To: b.place}, func(admin.StoreProgress) {})
	}
	if err == nil {
		_, err = b.core.store.Fail(ctx, same.DAG(), "nobody has it")
	}
	if err != nil {
		t.Fatal(err)
	}
	page, err := b.pins.List(ctx, b.alice.ID, pin.Query{Statuses: []pin.Status{pin.Pinned}, Limit: 10})
	if err != nil || len(page.Views) != 2 {
		t.Fatal(page, err)
	}
	for _, v := range page.Views {
		if err := b.pins.Remove(ctx, b.alice.ID, v.ID); err != nil {
			t.Fatal(err)
		}
	}
	b.reclaim()
	root, _ := twoBlocks(t)
	other, err := b.core.store.Add(ctx, b.alice.ID, pin.Spec{CID: root.Cid().String(), Root: root.Cid(), Name: "again", Meta: map[string]string{"a": "b"}})
	if err == nil {
		_, err = b.core.store.Fail(ctx, other.DAG(), "nobody has it")
	}
	few := uint64(1)
	if err == nil {
		_, err = b.core.auth.SetQuota(ctx, b.alice.ID, auth.NewQuota{Pins: &few, Bytes: &few})
	}
	if err != nil {
		t.Fatal(err)
	}
	in := admin.NewRestore{Accounts: []string{b.alice.Email}}
	if done := b.restore(in); done.Requests != 3 || done.There != 0 || done.Blocks != 2 {
		t.Errorf("restored %+v", done)
	}
	if r := b.reclaim(); r.Blocks != 0 {
		t.Errorf("after the restore %d blocks were deleted", r.Blocks)
	}
	if now, err := b.core.store.Get(ctx, b.alice.ID, same.ID); err != nil || now.Status == pin.Failed {
		t.Errorf("the pin with the ID of the backup is %+v: %v", now, err)
	}
	pinned, err := b.pins.List(ctx, b.alice.ID, pin.Query{Statuses: []pin.Status{pin.Pinned}, Limit: 10})
	if err != nil || pinned.Count != 2 {
		t.Errorf("%d are pinned: %v", pinned.Count, err)
	}
	if again := b.restore(in); again.Requests != 0 || again.There != 3 {
		t.Errorf("restored again %+v", again)
	}
	b.verify()
}

// An account that cannot be read here, or is not in the backup, is named, and the rest comes back.
func TestRestoreNamesAccountsThatItLeavesOut(t *testing.T) {
	ctx := t.Context()
	b := newBackedUp(t, nil)
	gone := uuid.NewString()
	holdFor(t, b.Program, gone, dagtest.Raw("of nobody who is there"))
	if _, err := command(t, b.Program).Backup(ctx, admin.NewBackup{To: b.place}, func(admin.StoreProgress) {}); err != nil {
		t.Fatal(err)
	}
	b.removeAll(b.bob.ID)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	alice := uuid.MustParse(b.alice.ID)
	spoilRecord(t, b.Data.Shown, append([]byte{0x40}, alice[:]...)...)
	again := &Program{Config: testConfig(), Data: b.Data, Log: slog.New(slog.DiscardHandler), Machine: testMachine()} // it logs the damage
	defer again.Close()
	if err := again.Run(ctx); err != nil {
		t.Fatal(err)
	}
	b.Program = again
	done := b.restore(admin.NewRestore{})
	if len(done.LeftOut) != 2 || done.LeftOut[0].Account != gone || done.LeftOut[0].Pins != 1 || done.LeftOut[1].Account != b.alice.Email || done.LeftOut[1].Pins != 2 {
		t.Errorf("left out are %+v", done.LeftOut)
	}
	if done.Requests != 141 || done.Waiting != 0 {
		t.Errorf("restored %+v", done)
	}
}
