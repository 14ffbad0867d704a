package web

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Nothing of another account can be seen or changed by its address.
func TestPinsOfOthers(t *testing.T) {
	r := newRig(t)
	v := r.pinned(ben, site(r), "of ben")
	other := r.as(anna) // an admin, too
	for _, path := range []string{"", "/edit", "/files", "/file?path=index.html", "/preview?path=index.html", "/download?as=car", "/download?path=index.html"} {
		if a := other.get("/ui/pins/" + v.ID + path); a.status != http.StatusNotFound || strings.Contains(a.body, "of ben") || strings.Contains(a.body, v.CID) {
			t.Errorf("%q answers %d:\n%s", path, a.status, a.body)
		}
	}
	if a := other.get("/ui/pins/"+v.ID+"/live", "Accept", "text/event-stream"); a.status != http.StatusNotFound {
		t.Errorf("the stream answers %d", a.status)
	}
	form := url.Values{"id": {v.ID}, "cid": {otherCID}, "name": {"taken"}}
	for _, path := range []string{"/pins/remove", "/pins/retry", "/pins/" + v.ID + "/edit"} {
		other.post("/ui"+path, form).must(t, http.StatusNotFound)
	}
	other.get("/ui/pins/remove?id="+v.ID).must(t, http.StatusNotFound)
	// A removal of another account cannot be undone, and stays as it is.
	b := r.as(ben)
	b.post("/ui/pins/remove", url.Values{"id": {v.ID}}).must(t, http.StatusSeeOther)
	id := r.ui.removed.of(r.ids[ben])[0].ID
	other.post("/ui/pins/undo", url.Values{"id": {id}}).must(t, http.StatusGone)
	if len(r.ui.removed.of(r.ids[ben])) != 1 {
		t.Error("somebody else undid a removal")
	}
	// And so it is with tokens.
	tok, _, err := r.auth.AddDevice(t.Context(), r.ids[ben], auth.NewDevice{Name: "kubo"})
	if err != nil {
		t.Fatal(err)
	}
	other.get("/ui/tokens/"+tok.ID+"/revoke").must(t, http.StatusNotFound)
	other.post("/ui/tokens/"+tok.ID+"/revoke", nil).must(t, http.StatusNotFound)
	for _, odd := range []string{"x", "..", "%00", strings.Repeat("a", 4000)} {
		other.get("/ui/pins/"+odd).must(t, http.StatusNotFound)
	}
}

func TestAdd(t *testing.T) {
	r := newRig(t)
	b := r.as(ben)
	page := b.get("/ui/add").must(t, http.StatusOK, `name="cid"`)
	key := regexp.MustCompile(`name="key" value="([A-Z0-9]+)"`).FindStringSubmatch(page.body)[1]
	// A mistake keeps what was typed.
	form := url.Values{"cid": {"ipns://example.com"}, "name": {"<thesis>"}, "origins": {"/ip4/x"}, "meta": {"a=b"}, "key": {key}}
	b.post("/ui/add", form).must(t, http.StatusBadRequest, "ipfs resolve", "ipns://example.com", "&lt;thesis&gt;", "/ip4/x", "a=b", `role="alert"`)
	form.Set("cid", " https://"+someCID+".ipfs.dweb.link/ \n")
	form.Set("meta", "a=b\nlong key = a = b\n")
	form.Set("origins", "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWQmJC7C6yPaG5fCwRRctv7fK1doGrSMGpWqdx9rnRsUzi nonsense")
	a := b.post("/ui/add", form).must(t, http.StatusSeeOther)
	b.get(a.to()).must(t, http.StatusOK, "&lt;thesis&gt;", "The pin is asked for", "long key", "a = b", "12D3KooWQmJC7", "nonsense")
	page = b.get(a.to())
	if strings.Contains(page.body, "is asked for") {
		t.Error("the notice is there for good")
	}
	// A form that is sent twice makes one pin. One that was changed makes another.
	if again := b.post("/ui/add", form); again.to() != a.to() {
		t.Errorf("the form again leads to %s, and first to %s", again.to(), a.to())
	}
	form.Set("name", "another")
	if again := b.post("/ui/add", form); again.status != http.StatusSeeOther || again.to() == a.to() {
		t.Errorf("another form answers %d %s", again.status, again.to())
	}
	b.get("/ui/pins").must(t, http.StatusOK, "1–2 of 2")
}

func TestRenameAndReplace(t *testing.T) {
	r := newRig(t)
	v := r.pinned(ben, site(r), "before")
	b := r.as(ben)
	b.get("/ui/pins/"+v.ID+"/edit").must(t, http.StatusOK, `value="before"`, v.CID)
	b.post("/ui/pins/"+v.ID+"/edit", url.Values{"cid": {"nothing"}, "name": {"typed"}}).must(t, http.StatusBadRequest, `value="typed"`, `value="nothing"`)
	a := b.post("/ui/pins/"+v.ID+"/edit", url.Values{"cid": {v.CID}, "name": {"after"}, "meta": {"k=v"}}).must(t, http.StatusSeeOther)
	b.get(a.to()).must(t, http.StatusOK, "after", "pinned", "The pin is changed")
	b.get("/ui/pins/"+v.ID).must(t, http.StatusNotFound)
	a = b.post(strings.TrimPrefix(a.to(), r.server.URL)+"/edit", url.Values{"cid": {otherCID}, "name": {"other"}}).must(t, http.StatusSeeOther)
	b.get(a.to()).must(t, http.StatusOK, "other", "queued", otherCID)
}

func TestRetry(t *testing.T) {
	r := newRig(t)
	v := r.failed(ben, someCID, "lost", "nobody has it")
	w := r.pin(ben, otherCID, "waits")
	b := r.as(ben)
	b.get("/ui/pins/"+v.ID).must(t, http.StatusOK, "nobody has it", "Try again")
	b.post("/ui/pins/retry", url.Values{"id": {v.ID, w.ID}}).must(t, http.StatusSeeOther)
	b.get("/ui/pins").must(t, http.StatusOK, "tried again")
	if now, err := r.pins.Get(t.Context(), r.ids[ben], v.ID); err != nil || now.Status != pin.Queued {
		t.Errorf("it is %s, %v", now.Status, err)
	}
	b.post("/ui/pins/retry", url.Values{"id": {w.ID}})
	b.get("/ui/pins").must(t, http.StatusOK, "Nothing of this has failed")
	b.post("/ui/pins/retry", url.Values{}).must(t, http.StatusBadRequest, "no pin is selected")
}

// A removal is asked first, happens after ten seconds, and can be undone until then.
func TestRemove(t *testing.T) {
	r := newRig(t)
	v, w := r.pin(ben, someCID, "thesis"), r.pin(ben, otherCID, "photos")
	b := r.as(ben)
	b.get("/ui/pins/remove").must(t, http.StatusBadRequest, "select some")
	q := "/ui/pins/remove?id=" + v.ID + "&id=" + w.ID + "&back=status%3Dqueued"
	b.get(q).must(t, http.StatusOK, "Remove 2 pins?", "thesis", "photos", "<html", `href="/ui/pins?status=queued"`)
	if part := b.get(q, "HX-Request", "true").must(t, http.StatusOK, "Remove 2 pins?"); strings.Contains(part.body, "<html") {
		t.Error("the dialog gets a whole page")
	}
	a := b.post("/ui/pins/remove", url.Values{"id": {v.ID, w.ID}, "back": {"/ui/pins?status=queued"}}).must(t, http.StatusSeeOther)
	if a.to() != "/ui/pins?status=queued" {
		t.Errorf("it leads to %s", a.to())
	}
	page := b.get("/ui/pins").must(t, http.StatusOK, "2 pins are being removed", "Undo", "being removed</span>")
	id := regexp.MustCompile(`name="id" value="([A-Z0-9]{26})"`).FindStringSubmatch(page.body)[1]
	b.post("/ui/pins/undo", url.Values{"id": {id}}).must(t, http.StatusSeeOther)
	page = b.get("/ui/pins").must(t, http.StatusOK, "Nothing was removed")
	if strings.Contains(page.body, "being removed") {
		t.Error("the page still removes something")
	}
	b.post("/ui/pins/undo", url.Values{"id": {id}}).must(t, http.StatusGone, "too late")

	// To ask twice is to ask once: one undo keeps the pin.
	for range 2 {
		b.post("/ui/pins/remove", url.Values{"id": {v.ID}}).must(t, http.StatusSeeOther)
	}
	page = b.get("/ui/pins").must(t, http.StatusOK, "is being removed")
	if n := strings.Count(page.body, `action="/ui/pins/undo"`); n != 1 {
		t.Fatalf("%d removals can be undone", n)
	}
	id = regexp.MustCompile(`name="id" value="([A-Z0-9]{26})"`).FindStringSubmatch(page.body)[1]
	b.post("/ui/pins/undo", url.Values{"id": {id}}).must(t, http.StatusSeeOther)
	if page = b.get("/ui/pins"); strings.Contains(page.body, "being removed") {
		t.Error("the page still removes it")
	}
}

// What is removed is removed when its time has come, whoever looks. What was undone stays, and
// so does what a stop comes before.
func TestRemovalsKeepTheirTime(t *testing.T) {
	r := newRig(t)
	account := r.ids[ben]
	gone, kept, replaced, stopped := r.pin(ben, someCID, "gone"), r.pin(ben, someCID, "kept"), r.pin(ben, someCID, "replaced"), r.pin(ben, someCID, "stopped")
	there := func(v pin.View) bool {
		_, err := r.pins.Get(t.Context(), account, v.ID)
		if err != nil && !errors.Is(err, pin.ErrNotFound) {
			t.Fatal(err)
		}
		return err == nil
	}
	synctest.Test(t, func(t *testing.T) {
		r.ui.removed = removals{}
		r.ui.removed.init(r.ui)
		add := func(views ...pin.View) string {
			var ids []string
			for _, v := range views {
				ids = append(ids, v.ID)
			}
			if err := r.ui.removed.add(t.Context(), account, "", ids); err != nil {
				t.Fatal(err)
			}
			all := r.ui.removed.of(account)
			return all[len(all)-1].ID
		}
		add(gone, replaced)
		undo := add(kept)
		now, err := r.pins.Replace(t.Context(), account, replaced.ID, replaced.Spec)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(undoTime - time.Millisecond)
		synctest.Wait()
		if !there(gone) {
			t.Error("it was removed too early")
		}
		if !r.ui.removed.undo(account, undo) {
			t.Error("it was too late to undo")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if there(gone) || !there(kept) || !there(now) {
			t.Errorf("gone is there: %v, kept: %v, replaced: %v", there(gone), there(kept), there(now))
		}
		last := add(stopped)
		r.ui.removed.close()
		if !there(stopped) || r.ui.removed.undo(account, last) {
			t.Error("a stop removed what could be undone")
		}
		if err := r.ui.removed.add(t.Context(), account, "", []string{stopped.ID}); !errors.Is(err, pin.ErrClosed) {
			t.Errorf("after the stop: %v", err)
		}
	})
	r.ui.removed = removals{}
	r.ui.removed.init(r.ui)
}

// A session that may only look gets no further by addresses.
func TestViewerChangesNothing(t *testing.T) {
	r := newRig(t)
	v := r.pinned(ben, site(r), "site")
	_, raw, err := r.auth.AddDevice(t.Context(), r.ids[ben], auth.NewDevice{Name: "viewer", Scope: auth.ScopeRead})
	if err != nil {
		t.Fatal(err)
	}
	b := r.withToken(raw)
	b.get("/ui/pins/"+v.ID).must(t, http.StatusOK, "site", "index.html")
	b.get("/ui/pins/"+v.ID+"/preview?path=index.html").must(t, http.StatusOK)
	b.get("/ui/account").must(t, http.StatusOK, "no limit")
	form := url.Values{"id": {v.ID}, "cid": {otherCID}, "name": {"x"}, "password": {password}, "new_password": {"another one 123"}, "again": {"another one 123"}}
	for _, path := range []string{
		"POST /pins/remove", "POST /pins/retry", "POST /pins/undo", "POST /add", "POST /pins/" + v.ID + "/edit", "POST /connect",
		"POST /account/password", "POST /account/signout-all", "POST /tokens/" + v.ID + "/revoke",
		"GET /add", "GET /connect", "GET /pins/" + v.ID + "/edit", "GET /pins/remove?id=" + v.ID,
	} {
		method, path, _ := strings.Cut(path, " ")
		f := form
		if method == http.MethodGet {
			f = nil
		}
		b.do(method, "/ui"+path, f).must(t, http.StatusForbidden)
	}
	// To sign out forgets the cookie, and does not revoke the token of a program.
	b.post("/ui/signout", nil).must(t, http.StatusSeeOther)
	if _, err := r.auth.Verify(t.Context(), raw); err != nil {
		t.Errorf("the token is gone: %v", err)
	}
}
