//go:build browser

package web

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

const (
	other   = "limpet@example.org"
	invited = "barnacle@example.org"
)

// TestAdmin is what an admin does: with accounts, with the record of what happened, with the
// store and with the server.
func TestAdmin(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), buildTime)
	defer cancel()
	w, _ := newServer(ctx, t, map[string]string{"HOLDFAST_AUTH_REGISTRATION": "invite"})
	check(t, w.server.Data.AddUser(t.Context(), email, password))
	_, err := w.server.Data.Run(t.Context(), nil, "user", "role", email, "admin")
	check(t, err)
	w.open("/ui/pins")
	w.signIn(email)
	w.see("Nothing is pinned yet")
	w.addAccount()
	w.inviteAndJoin()
	them := w.limitAndDisable()
	w.setPasswordOf()
	// Their page does not go on as if nothing had happened.
	them.see("the session is over; sign in again")
	them.accessible("pins, the session is over")
	w.removeAccount()
	w.audit()
	w.checkStore()
	w.plots()
}

func (tab *tab) signIn(email string) {
	tab.t.Helper()
	tab.fill("email", email)
	tab.fill("password", password)
	tab.click("button", "Sign in")
}

// addAccount makes an account: first with a limit that is none.
func (w *world) addAccount() {
	w.t.Helper()
	w.open("/ui/accounts")
	w.see("1 account")
	w.expect("/ui/accounts") // of the 400
	w.fill("email", other)
	w.fill("password", password)
	w.fill("quota", "much")
	w.click("button", "Add")
	w.see("must be a size such as")
	w.accessible("accounts, refused")
	var kept string
	w.run(chromedp.Value("#email", &kept))
	if kept != other {
		w.t.Errorf("the address is %q now", kept)
	}
	w.fill("password", password)
	w.fill("quota", "10 GiB")
	w.click("button", "Add")
	w.see("The account is made")
	w.see("2 accounts")
	w.see("of 10 GiB")
}

// inviteAndJoin makes two invitations: one is revoked, with the other somebody makes an account.
func (w *world) inviteAndJoin() {
	w.t.Helper()
	w.click("button", "Make an invitation")
	w.see("It is shown this once")
	var revoked string
	w.run(chromedp.Text("#line-link + .code code", &revoked))
	w.run(chromedp.Click(`button[aria-label^="Revoke the invitation until"]`))
	w.see("The invitation is revoked")
	w.unsee("Not used yet")
	w.fill("invited-pins", "100")
	w.click("button", "Make an invitation")
	w.see("It is shown this once")
	w.see("Not used yet")
	w.inAllLooks("an invitation")
	var link string
	w.run(chromedp.Text("#line-link + .code code", &link))

	join := func(who *tab, link string) {
		w.t.Helper()
		path, ok := strings.CutPrefix(link, w.base)
		if !ok {
			w.t.Fatalf("the invitation leads to %s", link)
		}
		who.open(path)
		who.fill("email", invited)
		who.fill("password", password)
		who.fill("again", password)
		who.click("button", "Make the account")
	}
	guest := w.private()
	guest.expect("/ui/join") // of the refusal
	join(guest, revoked)
	guest.see("invitation")
	guest.run(chromedp.WaitVisible(`.notice.bad`))
	guest.accessible("join, refused")
	path := strings.TrimPrefix(link, w.base)
	guest.open(path)
	guest.inAllLooks("join")
	join(guest, link)
	guest.see("Nothing is pinned yet")
	guest.see(invited)
	var menu string
	guest.run(chromedp.Text("nav", &menu))
	if strings.Contains(menu, "Accounts") {
		w.t.Errorf("a user's menu has %q", menu)
	}
	// It works once.
	second := w.private()
	second.expect("/ui/join")
	join(second, link)
	second.run(chromedp.WaitVisible(`.notice.bad`))

	w.open("/ui/accounts")
	w.see("3 accounts")
	w.see("0 of 100")
	w.unsee("Not used yet")
	w.inAllLooks("accounts")
}

// limitAndDisable sets the limits of an account, ends what it may, and gives that back.
func (w *world) limitAndDisable() (them *tab) {
	w.t.Helper()
	w.open("/ui/accounts")
	w.click("a", other)
	w.see("What it uses")
	w.inAllLooks("one account")
	w.fill("quota", "512 MiB")
	w.fill("pins", "20")
	w.click("button", "Set them")
	w.see("The limits are set")
	w.see("of 512 MiB")
	w.see("0 of 20")
	w.click("button", "Disable it")
	w.see("The account is changed")
	w.see("disabled")
	w.accessible("one account, disabled")
	them = w.private()
	them.expect("/ui/signin") // of the refusal
	them.open("/ui/pins")
	them.signIn(other)
	them.run(chromedp.WaitVisible(`.notice.bad`))
	w.click("button", "Enable it")
	w.see("Disable it")
	them.signIn(other)
	them.see("Nothing is pinned yet")
	return them
}

// setPasswordOf needs the password of the admin.
func (w *world) setPasswordOf() {
	w.t.Helper()
	w.expect("/password") // of the refusal
	set := func(own string) {
		w.t.Helper()
		w.fill("password", "another "+password)
		w.fill("again", "another "+password)
		w.fill("own_password", own)
		w.click("button", "Set it")
	}
	set("wrong")
	w.run(chromedp.WaitVisible(`.notice.bad`))
	w.accessible("one account, refused")
	set(password)
	w.see("The account has the new password")
}

// removeAccount asks first.
func (w *world) removeAccount() {
	w.t.Helper()
	w.open("/ui/accounts")
	w.click("a", other)
	w.click("a", "Remove it…")
	w.see("Remove " + other + "?")
	w.inAllLooks("remove an account")
	w.keys(kb.Escape)
	w.run(chromedp.WaitNotPresent("dialog[open]"))
	w.click("a", "Remove it…")
	w.see("Remove " + other + "?")
	w.run(chromedp.Click(`dialog input[value=remove]`))
	w.click("button", "Remove the account")
	w.see("The account is removed")
	w.see("2 accounts")
	w.unsee(other)
	// The same question as a page.
	w.click("a", invited)
	var at string
	w.see("What it uses")
	w.run(chromedp.Location(&at))
	w.run(chromedp.Navigate(at+"/remove"), chromedp.WaitReady("#main"))
	w.see("Remove " + invited + "?")
	w.accessible("remove an account, as a page")
	w.click("a", "Cancel")
	w.see("What it uses")
}

// audit finds what was done above.
func (w *world) audit() {
	w.t.Helper()
	w.open("/ui/audit")
	w.see("account removed")
	var unnamed int // also the events of an account that is gone have its address
	w.run(chromedp.Evaluate(`[...document.querySelectorAll("tbody td:nth-child(2)")].filter(d => /^[0-9a-f-]{36}/.test(d.textContent)).length`, &unnamed))
	if unnamed > 0 {
		w.t.Errorf("%d events name an account by its ID", unnamed)
	}
	w.inAllLooks("audit")
	w.run(chromedp.SetValue("#event", "login.refused"))
	w.click("button", "Filter")
	w.until(`location.search.includes("event=login.refused")`)
	w.see("login refused")
	var kinds []string
	w.run(chromedp.Evaluate(`[...new Set([...document.querySelectorAll("tbody .badge")].map(b => b.textContent))]`, &kinds))
	if len(kinds) != 1 || kinds[0] != "login refused" {
		w.t.Errorf("the filter leaves %q", kinds)
	}
	w.click("a", "All")
	w.until(`location.search === ""`)
	w.see("account removed")
	w.fill("account", invited)
	w.click("button", "Filter")
	w.until(`location.search.includes("account=barnacle")`)
	w.see("account registered")
	w.accessible("audit, of one account")
	w.run(chromedp.Evaluate(`document.getElementById("from").value = "2099-01-01"`, nil))
	w.click("button", "Filter")
	w.see("Nothing happened")
	w.accessible("audit, nothing")
	w.expect("/ui/audit") // of the 400
	w.open("/ui/audit?account=nobody@example.org")
	w.see("there is no such account")
	w.accessible("audit, refused")
}

// fillStore uploads so much that a check of it is not over at once.
func (w *world) fillStore(size int64) {
	w.t.Helper()
	in, out := io.Pipe()
	form := multipart.NewWriter(out)
	go func() {
		file, err := form.CreateFormFile("file", "large.bin")
		if err == nil {
			_, err = io.Copy(file, rig.Random(11, size))
		}
		if err == nil {
			err = form.Close()
		}
		out.CloseWithError(err)
	}()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.base+"/ui/upload", in)
	check(w.t, err)
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("Accept", "application/json")
	req.AddCookie(w.session())
	res, err := http.DefaultClient.Do(req)
	check(w.t, err)
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("cid")) {
		w.t.Fatalf("the upload answers %d %.200q (%v)", res.StatusCode, body, err)
	}
}

// checkStore begins a check, and sees it end without loading the page again.
func (w *world) checkStore() {
	w.t.Helper()
	w.fillStore(512 << 20)
	w.open("/ui/store")
	w.see("Nothing was begun since the server started")
	w.accessible("store, nothing was begun")
	// The next page believes that nobody sees it, so it stays as it was loaded: with a run.
	var id page.ScriptIdentifier
	w.run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		id, err = page.AddScriptToEvaluateOnNewDocument(`Object.defineProperty(document, "hidden", {value: true, configurable: true})`).Do(ctx)
		return err
	}))
	w.click("button", "Check every block")
	w.see("It is begun")
	w.see("running")
	w.see(email)
	w.inAllLooks("store, a check")
	w.run(page.RemoveScriptToEvaluateOnNewDocument(id))
	// Whoever is on a button that goes away keeps it until the focus is elsewhere.
	w.run(chromedp.Focus(".run button"))
	w.evaluate(`(() => { const Source = EventSource;
		window.EventSource = class extends Source { constructor(url) { super(url); this.addEventListener("element", (e) => { window.heard = e.data; }); } };
		window.sameDocument = true; delete document.hidden; document.dispatchEvent(new Event("visibilitychange")); return 0 })()`, nil)
	w.until(`window.heard && window.heard.includes("all are as they should be")`)
	w.until(`document.activeElement.innerText === "Stop"`)
	w.keys(kb.Tab)
	w.see("all are as they should be")
	w.until(`window.sameDocument && [...document.querySelectorAll(".run .badge")].every(b => b.textContent === "done")`)
	w.inAllLooks("store")
	w.click("button", "Give space back")
	w.see("It is begun")
	w.until(`document.querySelectorAll(".run .badge.pinned").length === 2`)
	w.see("the database takes")
}

// plots are drawn of what the server noted since its start.
func (w *world) plots() {
	w.t.Helper()
	w.open("/ui/server")
	// A plot is drawn if it has more colours than its axes and its grid have.
	drawn := `(() => { const all = [...document.querySelectorAll("#plots canvas")];
		return all.length === 5 && all.every(c => { const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data, seen = new Set();
			for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) seen.add(d[i] + "," + d[i + 1] + "," + d[i + 2]);
			return seen.size > 2; }) })()`
	w.until(drawn)
	// The legend says what is now, before there is a pointer to say of when.
	w.until(`/pinned\s*1/.test(document.querySelector("#plots .u-legend").textContent)`)
	w.inAllLooks("server")
	w.until(drawn) // anew, for another width and other colours
	asked := func(of string) string {
		return `performance.getEntriesByType("resource").some(e => e.name.endsWith("/ui/server/history?of=` + of + `"))`
	}
	w.until(asked("hour"))
	w.click("button", "Last day")
	w.until(`document.querySelector("[data-span=day]").ariaPressed === "true" && document.querySelector("[data-span=hour]").ariaPressed === "false"`)
	w.until(asked("day"))
	w.until(drawn)
	w.accessible("server, the last day")
	w.run(chromedp.Evaluate(`performance.clearResourceTimings()`, nil))
	w.click("button", "Last hour")
	w.until(asked("hour"))
	w.until(drawn)
}
