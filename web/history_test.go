package web

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// note writes an event of a pin, as the store does.
func (r *rig) note(ctx context.Context, kind auth.EventKind, email string, at time.Time, change func(*auth.Event)) {
	r.t.Helper()
	e := auth.PinEvent(ctx, at, kind, r.ids[email])
	change(&e)
	if err := r.audit.AppendEvents(r.t.Context(), []auth.Event{e}); err != nil {
		r.t.Fatal(err)
	}
}

// The page of a pin says what was done to it, by whom, and what it replaced.
func TestHistoryOfAPin(t *testing.T) {
	r := newRig(t)
	b := r.as(ben)
	token, _, err := r.auth.AddDevice(t.Context(), r.ids[ben], auth.NewDevice{Name: "a <laptop>", Scope: auth.ScopePin})
	if err != nil {
		t.Fatal(err)
	}
	by := func(account, token, address string) context.Context {
		return auth.WithAddress(auth.WithPrincipal(t.Context(), auth.Principal{Account: account, TokenID: token}), address)
	}
	v := r.pinned(ben, someCID, "thesis")
	first := r.pinned(ben, someCID, "draft") // whose place v takes, and which is gone by now
	if err := r.pins.Remove(t.Context(), r.ids[ben], first.ID); err != nil {
		t.Fatal(err)
	}
	at := first.Created
	of := func(id string) func(*auth.Event) { return func(e *auth.Event) { e.Pin, e.CID = id, someCID } }
	r.note(by(r.ids[ben], token.ID, "192.0.2.1"), auth.EventPinAdded, ben, at, of(first.ID))
	r.note(by(r.ids[ben], "one that is gone", "192.0.2.2"), auth.EventPinReplaced, ben, at.Add(time.Millisecond), func(e *auth.Event) {
		of(v.ID)(e)
		e.Was, e.Detail = first.ID, `renamed from "draft" to "thesis"`
	})
	r.note(t.Context(), auth.EventPinFailed, ben, at.Add(time.Second), func(e *auth.Event) {
		of(v.ID)(e)
		e.Detail = "nobody has <it>"
	})
	r.note(t.Context(), auth.EventPinFailed, ben, at.Add(2*time.Second), func(e *auth.Event) { e.CID, e.Count, e.Detail = v.DAG().String(), 2, "all of them" })
	r.note(by(r.ids[anna], "hers", "198.51.100.7"), auth.EventPinRetried, ben, at.Add(time.Minute), of(v.ID))
	r.note(t.Context(), auth.EventPinRetried, ben, at.Add(2*time.Minute), of(v.ID))
	r.note(t.Context(), auth.EventPinRemoved, ben, at.Add(time.Hour), of("0198a5c0-0000-7000-8000-000000000000")) // of another pin
	page := b.get("/ui/pins/"+v.ID).must(t, http.StatusOK).body
	_, history, _ := strings.Cut(page, ">History<")
	history, _, _ = strings.Cut(history, "</ul>")
	last := len(history)
	for _, want := range []string{ // from the oldest on
		"pin added by the token “a &lt;laptop&gt;”, from 192.0.2.1", "pin replaced by a token that is gone, from 192.0.2.2",
		"nobody has &lt;it&gt;", "all of them", "pin retried by an admin, from 198.51.100.7", "pin retried by the operator of this server",
	} {
		i := strings.LastIndex(history[:last], want)
		if i < 0 {
			t.Fatalf("before that, there is no %q in %s", want, history)
		}
		last = i
	}
	for _, not := range []string{"pin removed", "pin failed by", "asked for"} {
		if strings.Contains(history, not) {
			t.Errorf("the history has %q: %s", not, history)
		}
	}
	// What is not in the record any more is at least dated.
	old := r.pinned(ben, otherCID, "old")
	b.get("/ui/pins/"+old.ID).must(t, http.StatusOK, "asked for")
}

// The page of a pin says who delivered it.
func TestWhoDelivered(t *testing.T) {
	r := newRig(t)
	b := r.as(ben)
	const peer = "12D3KooWQmJC7C6yPaG5fCwRRctv7fK1doGrSMGpWqdx9rnRsUzi"
	v := r.pinned(ben, someCID, "thesis")
	at := "/ui/pins/" + v.ID
	b.get(at).must(t, http.StatusOK, "It is not known")
	var by pin.Delivered
	r.pins.set(func(v *pin.View) { v.Totals.Blocks, v.Totals.By = 10, &by }, nil)
	b.get(at).must(t, http.StatusOK, "Nobody had to")
	by.At = time.Now()
	by.Add(pin.Source{Name: peer, Blocks: 4, Bytes: 4 << 20}, pin.Source{Name: "https://gateway.example/<b>", Blocks: 1, Bytes: 100})
	by.Others, by.Rest = 3, pin.Source{Blocks: 2, Bytes: 2048}
	a := b.get(at).must(t, http.StatusOK, `title="`+peer+`"`, "4 blocks, 4.0 MiB", "<code>https://gateway.example/&lt;b&gt;</code>", "1 block, 100 B", "3 others", "2 blocks, 2.0 KiB", "3 blocks had come before", "all of it was here")
	if strings.Contains(a.body, "Nobody had to") {
		t.Error("nobody delivered it, and somebody did")
	}
	// While it is fetched, it is pushed.
	moving := r.pin(ben, otherCID, "moving")
	r.pins.set(func(v *pin.View) { v.Status, v.Totals.By = pin.Pinning, &by }, nil)
	b.events("/ui/pins/"+moving.ID+"/live", "event: element", `id="by-`+moving.ID, peer)
}

// An admin finds out who removed a pin, and with what, also after that account is gone.
func TestAuditOfPins(t *testing.T) {
	a := newAdminRig(t)
	b := a.as(anna)
	token, _, err := a.auth.AddDevice(t.Context(), a.ids[ben], auth.NewDevice{Name: "backup <job>", Scope: auth.ScopePin})
	if err != nil {
		t.Fatal(err)
	}
	const id = "0198a5c0-0000-7000-8000-000000000000"
	by := auth.WithAddress(auth.WithPrincipal(t.Context(), auth.Principal{Account: a.ids[ben], TokenID: token.ID}), "192.0.2.9")
	a.note(by, auth.EventPinRemoved, ben, time.Now(), func(e *auth.Event) { e.Pin, e.CID, e.Detail = id, someCID, `name "thesis"` })
	a.note(by, auth.EventPinAdded, ben, time.Now(), func(e *auth.Event) { e.CID = otherCID })
	for query, want := range map[string][]string{
		"?event=pin.removed":                      {"pin removed", ben, "with the token “backup &lt;job&gt;”", "192.0.2.9", "thesis", id},
		"?event=pins":                             {"pin removed", "pin added"},
		"?pin=" + id:                              {"pin removed"},
		"?pin=" + someCID:                         {"pin removed"},
		"?account=" + ben + "&event=pin.removed":  {"pin removed"},
		"?account=" + anna + "&event=pin.removed": {"No event matches"},
		"?event=accounts":                         {"account added"},
		"?event=pin.removed&to=2000-01-01":        {"No event matches"},
		"?event=pin.removed&pin=" + otherCID:      {"No event matches"},
	} {
		page := b.get(auditPath+query).must(t, http.StatusOK, want...).body
		if strings.Contains(query, "accounts") && strings.Contains(page, id) {
			t.Error("the events of accounts have one of a pin")
		}
	}
	if _, err := a.auth.RemoveAccount(t.Context(), a.ids[ben]); err != nil {
		t.Fatal(err)
	}
	b.get(auditPath+"?event=pin.removed").must(t, http.StatusOK, ben, "a token that is gone, "+token.ID)
}

// A removal that waits for its time is in the record as that of whoever clicked.
func TestRemovalIsOfWhoAsked(t *testing.T) {
	r := newRig(t)
	b := r.as(ben)
	v := r.pin(ben, someCID, "thesis")
	b.post("/ui/pins/remove", map[string][]string{"id": {v.ID}}).must(t, http.StatusSeeOther)
	r.ui.removed.mu.Lock()
	defer r.ui.removed.mu.Unlock()
	i := slices.IndexFunc(r.ui.removed.all, func(one *removal) bool { return slices.Contains(one.pins, v.ID) })
	if i < 0 {
		t.Fatal("nothing is being removed")
	}
	e := auth.PinEvent(r.ui.removed.all[i].by, time.Now(), auth.EventPinRemoved, r.ids[ben])
	if e.Actor != r.ids[ben] || e.Token == "" || e.Address == "" {
		t.Errorf("it would be told as %+v", e)
	}
}
