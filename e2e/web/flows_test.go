//go:build browser

package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestFlows is what a user does, from the first start on.
func TestFlows(t *testing.T) {
	w := newWorld(t)
	w.setUp()
	w.inAllLooks("pins, none")

	// A wrong password keeps the address.
	w.click("button", "Sign out")
	w.see("Sign in")
	w.inAllLooks("sign in")
	w.expect("/ui/signin") // of the 401
	w.fill("email", email)
	w.fill("password", "wrong")
	w.click("button", "Sign in")
	w.see("the password is wrong")
	w.accessible("sign in, refused")
	var kept string
	w.run(chromedp.Value("#email", &kept))
	if kept != email {
		t.Errorf("the address is %q now", kept)
	}
	w.fill("password", password)
	w.click("button", "Sign in")
	w.see("Nothing is pinned yet")

	cid := w.site()
	w.connect(cid)
	id := w.add(cid)
	w.upload()
	w.drop()
	w.uploadCAR()
	w.lookInside(id)
	w.failAndRetry()
	w.filterAndRename(id)
	w.removeAndUndo()
	w.account()
}

// connect makes a token, and pins with a Kubo by the very line that the page shows.
func (w *world) connect(cid string) {
	w.t.Helper()
	w.open("/ui/connect")
	w.fill("name", "Kubo on my laptop")
	w.click("button", "Make the token")
	w.see("It is shown this once")
	w.inAllLooks("connect")
	var line string
	w.run(chromedp.Text("#line-kubo + .code code", &line))
	words := strings.Fields(strings.Split(line, "\n")[0])
	if _, err := w.kubo.Run(w.t.Context(), nil, words[1:]...); err != nil {
		w.t.Fatalf("%s: %v", line, err)
	}
	w.open("/ui/pins")
	if _, err := w.kubo.Run(w.t.Context(), nil, "pin", "remote", "add", "--service=holdfast", "--name=site by Kubo", cid); err != nil {
		w.t.Fatal(err)
	}
	// The page tells of it by itself.
	w.see("1 pin was added since you opened this page")
	w.accessible("pins, with newer ones")
	w.run(chromedp.Click(".newer a"))
	w.see("site by Kubo")
	w.see("pinned")
	w.open("/ui/connect")
	w.see("Kubo on my laptop")
	w.run(chromedp.Click(`a[aria-label="Revoke Kubo on my laptop"]`))
	w.see("Revoke “Kubo on my laptop”?")
	w.inAllLooks("revoke a token")
	w.click("button", "Revoke")
	w.see("The token is revoked")
	if out, err := w.kubo.Run(w.t.Context(), nil, "pin", "remote", "ls", "--service=holdfast"); err == nil {
		w.t.Errorf("the token still works: %s", out)
	}
}

// add pins something that only the Kubo has, by a link with its CID in it, and sees it through.
func (w *world) add(cid string) (id string) {
	w.t.Helper()
	content, err := w.kubo.AddFile(w.t.Context(), rig.Random(1, 40<<20), 256<<10)
	check(w.t, err)
	w.open("/ui/pins")
	w.run(chromedp.Click("a.button.main"))
	w.see("Or something that has one in it")
	w.inAllLooks("add a pin")
	w.expect("/ui/add") // of the 400
	w.fill("cid", "https://example.com/not/there")
	w.fill("name", "forty mebibytes")
	w.click("button", "Pin it")
	w.see("is not a CID")
	w.accessible("add a pin, refused")
	w.fill("cid", "https://gateway.example/ipfs/"+content)
	w.run(chromedp.Click("summary"), chromedp.SendKeys("#origins", w.kubo.Addrs[0]), chromedp.SendKeys("#meta", "project=kelp\nkind=data"))
	w.click("button", "Pin it")
	w.see("The pin is asked for")
	w.see("pinned") // pushed, the page is not loaded again by the test
	w.see("40 MiB")
	w.open("/ui/pins?name=site+by")
	w.click("a", "site by Kubo")
	w.see("What is in it")
	var where string
	w.run(chromedp.Location(&where))
	return where[strings.LastIndex(where, "/")+1:]
}

// upload sends files from the browser: with progress, one that is cancelled, and a CAR.
func (w *world) upload() {
	w.t.Helper()
	dir := w.t.TempDir()
	paths := []string{filepath.Join(dir, "one.txt"), filepath.Join(dir, "two & <b>.txt")}
	for _, p := range paths {
		check(w.t, os.WriteFile(p, []byte("uploaded: "+p), 0o644))
	}
	w.open("/ui/add")
	w.fill("upload-name", "two notes")
	w.run(chromedp.SetUploadFiles("#files", paths))
	w.see("2 files chosen")
	w.click("button", "Upload")
	w.see("are pinned:")
	w.inAllLooks("uploaded")
	w.run(chromedp.Click("#sent a"))
	w.see("two & <b>.txt")
	w.see("pinned")
	// A large one is cancelled in the middle, and is no pin.
	large := filepath.Join(dir, "large.bin")
	f, err := os.Create(large)
	check(w.t, err)
	_, err = io.Copy(f, rig.Random(9, 256<<20))
	check(w.t, errors.Join(err, f.Close()))
	w.open("/ui/add")
	// The browser sends it no faster than this.
	w.run(network.EmulateNetworkConditions(false, 0, -1, 4<<20), chromedp.SetUploadFiles("#files", []string{large}))
	w.click("button", "Upload")
	w.until(`document.getElementById("sending-bar").value > 0`)
	w.accessible("an upload under way")
	w.click("button", "Cancel")
	w.see("Cancelled. Nothing of it is kept.")
	w.run(network.EmulateNetworkConditions(false, 0, -1, -1))
	w.open("/ui/pins?name=large")
	w.see("No pin matches this filter")
}

// uploadCAR uploads a CAR that a Kubo made, and pins what is in it under a second name.
func (w *world) uploadCAR() {
	w.t.Helper()
	content, err := w.kubo.AddFile(w.t.Context(), rig.Random(5, 3<<20), 256<<10)
	check(w.t, err)
	from, err := w.kubo.Export(w.t.Context(), content)
	check(w.t, err)
	car, err := io.ReadAll(from)
	check(w.t, errors.Join(err, from.Close()))
	path := filepath.Join(w.t.TempDir(), "boxed.car")
	check(w.t, os.WriteFile(path, car, 0o644))
	w.open("/ui/add")
	w.fill("upload-name", "out of a box")
	w.run(chromedp.SetUploadFiles("#files", []string{path}))
	w.see("1 file chosen")
	w.click("button", "Upload")
	w.see("is pinned:")
	w.run(chromedp.Click("#sent a"))
	w.see("Nobody had to: it was uploaded, or it was here already.")
	var shown string
	w.run(chromedp.Evaluate(`document.querySelector("code.cid").title`, &shown))
	if shown != content {
		w.t.Errorf("the CAR of %s became %s", content, shown)
	}
	// Copying takes all of the CID.
	w.run(chromedp.Click(`button[aria-label="Copy the CID"]`))
	w.see("Copied")
	w.open("/ui/add")
	w.fill("cid", content)
	w.fill("name", "the same once more")
	w.click("button", "Pin it")
	w.see("Also pinned as")
	w.see("out of a box")
	w.accessible("one pin of two with the same content")
}

// failAndRetry pins what cannot be pinned, and tries again.
func (w *world) failAndRetry() {
	w.t.Helper()
	block := []byte("this is no node of a directory")
	_, err := w.kubo.PutBlock(w.t.Context(), "raw", block)
	check(w.t, err)
	bad := rig.CID(rig.CodecDagPB, block)
	w.open("/ui/add")
	w.fill("cid", bad)
	w.fill("name", "a mistake")
	w.run(chromedp.Click("summary"), chromedp.SendKeys("#origins", w.kubo.Addrs[0]))
	w.click("button", "Pin it")
	w.see("failed")
	w.see("pin failed")
	w.accessible("one pin, failed")
	w.click("button", "Try again")
	w.see("What had failed is tried again")
	w.see("pin retried by a session")
	w.until(`[...document.querySelectorAll("[aria-labelledby=h-history] li")].filter(l => l.innerText.includes("pin failed")).length === 2`)
}

// lookInside goes through what a pin has.
func (w *world) lookInside(id string) {
	w.t.Helper()
	w.open("/ui/pins/" + id)
	w.see("index.html")
	w.click("summary", "▸notes/")
	w.click("summary", "▸2026/")
	w.see("november.txt")
	w.inAllLooks("one pin")
	w.click("a", "november.txt")
	w.see("Up to the first 256 KiB")
	w.run(chromedp.WaitVisible("iframe"))
	w.inAllLooks("a file")
	w.open("/ui/pins/" + id + "/file?path=images/kelp.png")
	w.accessible("an image")
	w.expect("the document's frame is sandboxed") // by which Chromium refuses what this test asks it
	// A page of a stranger runs nothing: not in its frame, and not by its address.
	for _, path := range []string{"/file?path=index.html", "/preview?path=index.html"} {
		w.run(chromedp.Navigate(w.base+"/ui/pins/"+id+path), chromedp.WaitReady("body"), chromedp.Sleep(500*time.Millisecond))
		var title string
		w.run(chromedp.Title(&title))
		if title == "taken" {
			w.t.Errorf("%s ran a script", path)
		}
	}
	var text string
	w.run(chromedp.Text("body", &text))
	if !strings.Contains(text, "<h1>Hello</h1>") {
		w.t.Errorf("the page is not shown as text: %q", text)
	}
	res, body := w.get("/ui/pins/" + id + "/download?path=notes/2026/november.txt")
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "A holdfast is") {
		w.t.Errorf("the download answers %d %.100q", res.StatusCode, body)
	}
	if res, body := w.get("/ui/pins/" + id + "/download?as=car"); res.StatusCode != http.StatusOK || len(body) < 3<<20 {
		w.t.Errorf("the CAR answers %d with %d bytes", res.StatusCode, len(body))
	}
}

func (w *world) filterAndRename(id string) {
	w.t.Helper()
	w.open("/ui/pins")
	w.see("forty mebibytes")
	w.inAllLooks("pins")
	w.fill("name", "MEBI")
	w.unsee("site by Kubo")
	w.until(`location.search.includes("name=MEBI")`)
	w.fill("name", "nothing has this")
	w.see("No pin matches this filter")
	w.accessible("pins, none match")
	w.evaluate(`history.back()`, nil)
	w.see("forty mebibytes")
	w.evaluate(`(() => { const s = document.getElementById("status"); s.value = "failed"; s.dispatchEvent(new Event("change", {bubbles: true})); return 0 })()`, nil)
	w.until(`location.search.includes("status=failed")`)
	w.see("No pin matches this filter")
	w.open("/ui/pins/" + id + "/edit")
	w.inAllLooks("rename or replace")
	w.fill("name", "site, renamed")
	w.click("button", "Change it")
	w.see("The pin is changed")
	w.see("site, renamed")
	w.see("index.html") // nothing was fetched anew
}

func (w *world) removeAndUndo() {
	w.t.Helper()
	w.open("/ui/pins")
	ask := func() {
		w.t.Helper()
		w.run(chromedp.Click(`input[aria-label="Select forty mebibytes"]`))
		w.see("1 selected")
		w.click("button", "Remove…")
		w.see("Remove this pin?")
	}
	ask()
	w.inAllLooks("remove a pin")
	w.keys(kb.Escape)
	w.run(chromedp.WaitNotPresent("dialog[open]"))
	w.open("/ui/pins")
	ask()
	w.click("button", "Remove")
	w.see("Nothing is gone yet")
	w.accessible("pins, one is being removed")
	w.click("button", "Undo")
	w.see("Nothing was removed")
	w.see("forty mebibytes")
	ask()
	w.click("button", "Remove")
	w.see("Nothing is gone yet")
	// It is pushed, when its time has come.
	w.until(`[...document.querySelectorAll(".badge")].some(b => b.textContent === "removed")`)
	// It is read out, too.
	w.until(`document.getElementById("say").role === "status" && document.getElementById("say").textContent === "forty mebibytes: removed"`)
	w.open("/ui/pins")
	w.unsee("forty mebibytes")
	// Several at once.
	w.run(chromedp.Click(`input[aria-label="Select a mistake"]`), chromedp.Click(`input[aria-label="Select two notes"]`))
	w.see("2 selected")
	w.click("button", "Remove…")
	w.see("Remove 2 pins?")
	w.click("button", "Remove")
	w.see("2 pins are being removed")
	w.until(`[...document.querySelectorAll(".badge")].filter(b => b.textContent === "removed").length === 2`)
}

func (w *world) account() {
	w.t.Helper()
	w.open("/ui/account")
	w.inAllLooks("account")
	w.fill("password", password)
	w.fill("new_password", password+" 2")
	w.fill("again", password+" 2")
	w.click("button", "Change it")
	w.see("The password is changed")
	stolen := w.session()
	w.click("button", "Sign out everywhere")
	w.see("Sign in")
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.base+"/ui/pins", nil)
	check(w.t, err)
	req.AddCookie(stolen)
	res, err := http.DefaultTransport.RoundTrip(req)
	check(w.t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		w.t.Errorf("the cookie is still worth %d", res.StatusCode)
	}
	w.expect("/ui/nothing")
	w.open("/ui/nothing")
	w.accessible("no such page")
}

// TestByKeyboard goes from the sign-in to a removal and back without a mouse.
func TestByKeyboard(t *testing.T) {
	w := newWorld(t)
	check(t, w.server.Data.AddUser(t.Context(), email, password))
	w.open("/ui/pins")
	w.tabTo("E-mail address")
	w.keys(email)
	w.tabTo("Password")
	w.keys(password, kb.Enter)
	w.see("Nothing is pinned yet")
	w.tabTo("Skip to the content")
	w.keys(kb.Enter)
	w.tabTo("Add a pin")
	w.keys(kb.Enter)
	w.see("Or something that has one in it")
	w.tabTo("CID")
	w.keys(rig.IdentityCID([]byte("by keyboard")))
	w.tabTo("Name")
	w.keys("by keyboard", kb.Enter)
	w.see("The pin is asked for")
	w.tabTo("Pins")
	w.keys(kb.Enter)
	w.see("More filters")
	w.tabTo("Select by keyboard")
	w.keys(" ")
	w.see("1 selected")
	w.run(chromedp.Focus("#all"))
	w.tabTo("Remove…")
	w.keys(kb.Enter)
	w.see("Remove this pin?")
	// The dialog keeps the focus, and gives it back.
	for range 12 {
		w.keys(kb.Tab)
		var inside bool
		w.run(chromedp.Evaluate(`document.activeElement === document.body || document.querySelector("dialog").contains(document.activeElement)`, &inside))
		if !inside {
			t.Fatal("Tab leaves the dialog")
		}
	}
	w.keys(kb.Escape)
	var back string
	w.run(chromedp.Evaluate(`document.activeElement.innerText`, &back))
	if back != "Remove…" {
		t.Errorf("the focus comes back to %q", back)
	}
	w.keys(kb.Enter)
	w.see("Remove this pin?")
	w.tabTo("Remove")
	w.keys(kb.Enter)
	w.see("Nothing is gone yet")
	w.tabTo("Undo")
	w.keys(kb.Enter)
	w.see("Nothing was removed")
}

// TestWithoutScript does the same where a browser runs no script at all.
func TestWithoutScript(t *testing.T) {
	w := newWorld(t)
	check(t, w.server.Data.AddUser(t.Context(), email, password))
	cid := w.site()
	w.run(emulation.SetScriptExecutionDisabled(true))
	// Poll needs a script; these wait for elements.
	sees := func(selector, text string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; {
			ctx, cancel := context.WithTimeout(w.ctx, 2*time.Second)
			var got string
			err := chromedp.Run(ctx, chromedp.Text(selector, &got, chromedp.ByQuery)) // it fails while a page goes
			cancel()
			if err == nil && strings.Contains(got, text) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s has %q, want %q (%v)", selector, got, text, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	submit := func(form, name string) {
		t.Helper()
		w.run(chromedp.Click(`//form[contains(@action, "`+form+`")]//button[normalize-space()="`+name+`"]`, chromedp.BySearch, chromedp.NodeVisible))
	}
	w.open("/ui/pins")
	w.run(chromedp.SendKeys("#email", email), chromedp.SendKeys("#password", password))
	submit("/ui/signin", "Sign in")
	sees(".empty", "Nothing is pinned yet")
	w.open("/ui/add")
	w.run(chromedp.SendKeys("#cid", "ipfs://"+cid), chromedp.SendKeys("#name", "plain"), chromedp.Click("summary"), chromedp.SendKeys("#origins", w.kubo.Addrs[0]))
	submit("/ui/add", "Pin it")
	sees("h1", "plain")
	for deadline := time.Now().Add(patience); ; {
		var state string
		w.run(chromedp.Text(".state .badge", &state))
		if state == "pinned" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the pin is %s", state)
		}
		w.run(chromedp.Reload(), chromedp.WaitReady("#main"))
	}
	sees(".tree", "index.html")
	w.run(chromedp.Click(`//summary[contains(., "notes")]`, chromedp.BySearch), chromedp.Click(`//details[contains(., "notes")]//a`, chromedp.BySearch))
	sees("h1", "notes")
	sees(".tree", "2026")
	w.open("/ui/pins")
	w.run(chromedp.SendKeys("#name", "pla"))
	submit("/ui/pins", "Filter")
	sees(".rows", "plain")
	w.run(chromedp.Click("input[name=id]"))
	submit("/ui/pins/remove", "Remove…")
	sees("h1", "Remove this pin?")
	submit("/ui/pins/remove", "Remove")
	sees(".leaving", "Nothing is gone yet")
	submit("/ui/pins/undo", "Undo")
	sees(".notice.good", "Nothing was removed")
	// Rename.
	w.open("/ui/pins")
	w.run(chromedp.Click(`//a[.="plain"]`, chromedp.BySearch))
	sees("h1", "plain")
	w.run(chromedp.Click(`//a[.="Rename or replace"]`, chromedp.BySearch))
	sees("h1", "Change a pin")
	w.run(chromedp.Click("#name"), chromedp.KeyEvent(kb.End), chromedp.KeyEvent(" and simple"))
	submit("/edit", "Change it")
	sees("h1", "plain and simple")
	sees(".stack:first-child [aria-labelledby=h-history]", "renamed from")
	// Upload two files: a pin each, or a directory.
	dir := t.TempDir()
	paths := []string{filepath.Join(dir, "first.txt"), filepath.Join(dir, "second.txt")}
	for _, p := range paths {
		check(t, os.WriteFile(p, []byte("sent without script: "+p), 0o644))
	}
	w.open("/ui/add")
	w.run(chromedp.SetUploadFiles("#files", paths))
	submit("/ui/upload", "Upload")
	sees(".notice.good", "uploaded and pinned")
	sees(".rows", "first.txt")
	sees(".rows", "second.txt")
	w.open("/ui/add")
	w.run(chromedp.SetUploadFiles("#files", paths), chromedp.Click("input[name=wrap]"))
	submit("/ui/upload", "Upload")
	sees("h1", "folder with first.txt")
	sees(".tree", "second.txt")
	// Make a token, and revoke it.
	w.open("/ui/connect")
	w.run(chromedp.SendKeys("#name", "a program"))
	submit("/ui/connect", "Make the token")
	sees(".made", "ipfs pin remote service add holdfast")
	w.run(chromedp.Click(`//a[.="Revoke…"]`, chromedp.BySearch))
	sees("h1", "Revoke “a program”?")
	submit("/revoke", "Revoke")
	sees(".notice.good", "The token is revoked")
	// What admins do: the pages have no plots, and say why.
	_, err := w.server.Data.Run(t.Context(), nil, "user", "role", email, "admin")
	check(t, err)
	w.open("/ui/accounts")
	w.run(chromedp.SendKeys("#email", other), chromedp.SendKeys("#password", password))
	submit("/ui/accounts", "Add")
	sees(".notice.good", "The account is made")
	w.open("/ui/store")
	submit("/ui/store/runs", "Check every block")
	sees(".notice.good", "It is begun")
	w.open("/ui/audit?event=pin.replaced")
	sees("tbody", "renamed from")
	w.open("/ui/server")
	sees("#main", "The plots need JavaScript")
}

// TestDashboardOff: web.enabled takes it all away, and the address says what the server is.
func TestDashboardOff(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), buildTime)
	defer cancel()
	w, _ := newServer(ctx, t, map[string]string{"HOLDFAST_WEB_ENABLED": "false"})
	w.run(chromedp.Navigate(w.base + "/"))
	w.see("This is Holdfast, an IPFS pinning server. Its dashboard is off")
	for _, path := range []string{"/ui", "/ui/pins", "/ui/setup", "/ui/static/style.css"} {
		res, err := http.Get(w.base + path)
		check(t, err)
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s answers %d", path, res.StatusCode)
		}
	}
	if strings.Contains(w.server.Tail(), "/ui/setup") {
		t.Error("the log has a link to a page that is not there")
	}
	w.expect("favicon.ico") // which the browser asks for, as the page is text
}

// TestHiddenPageIsSilent: a page that nobody sees has no stream.
func TestHiddenPageIsSilent(t *testing.T) {
	w := newWorld(t)
	check(t, w.server.Data.AddUser(t.Context(), email, password))
	w.open("/ui/pins")
	w.fill("email", email)
	w.fill("password", password)
	w.click("button", "Sign in")
	w.see("Nothing is pinned yet")
	hide := func(hidden bool) {
		w.evaluate(`(() => { Object.defineProperty(document, "hidden", {value: `+map[bool]string{true: "true", false: "false"}[hidden]+`, configurable: true});
			document.dispatchEvent(new Event("visibilitychange")); return 0 })()`, nil)
	}
	token, err := rig.Login(t.Context(), w.server.HTTP, email, password)
	check(t, err)
	client := rig.NewClient(w.server.HTTP, token)
	hide(true)
	_, err = client.Add(t.Context(), rig.Pin{CID: rig.IdentityCID([]byte("hidden"))})
	check(t, err)
	w.run(chromedp.Sleep(7 * time.Second)) // longer than a calm stream waits
	var told bool
	w.run(chromedp.Evaluate(`!document.querySelector(".newer").hidden`, &told))
	if told {
		t.Error("a hidden page was told of a pin")
	}
	hide(false)
	w.see("1 pin was added since you opened this page")
}
