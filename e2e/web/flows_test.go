//go:build browser

package web

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	w.see("What had failed is tried again") // also after the page was loaded again, as its state changed
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
