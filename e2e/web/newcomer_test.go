//go:build browser

package web

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestNewcomer is somebody who has never used this: they start the program in an empty
// directory, open the link in its log, and from then on do only what the pages say, by what is
// there to be clicked. With -shots each step is a screenshot.
func TestNewcomer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), buildTime)
	defer cancel()
	w, r := newServer(ctx, t, nil)
	var err error
	w.kubo, err = r.StartKubo(ctx, "laptop", rig.KuboOptions{})
	check(t, err)
	t.Cleanup(w.kubo.Kill)
	n := &newcomer{world: w}

	link := regexp.MustCompile(`link="?(http://[^" ]+)`).FindStringSubmatch(w.server.Tail())
	if link == nil {
		t.Fatalf("the log has no link:\n%s", w.server.Tail())
	}
	n.open(strings.TrimPrefix(link[1], w.base))
	n.step("the link in the log", "There is no account yet")
	n.fill("email", email)
	n.fill("password", password)
	n.fill("again", password)
	n.click("button", "Make the account")
	n.step("the first page", "Nothing is pinned yet")

	n.click("a", "make a token and connect it")
	n.step("connect", "Make a token")
	n.fill("name", "Kubo on my laptop")
	n.click("button", "Make the token")
	n.step("the token", "It is shown this once")
	n.pinByKubo()

	n.upload()
	n.find()
	n.download()
	n.remove()
	n.diskComesBack()
	n.whoWasIt()
}

// newcomer is a world whose user knows nothing but what the pages say.
type newcomer struct {
	*world
	steps int
}

// step waits for what the page says, and keeps a picture of it.
func (n *newcomer) step(what, says string) {
	n.t.Helper()
	n.see(says)
	n.steps++
	n.shot(fmt.Sprintf("newcomer %02d %s", n.steps, what), looks[0])
}

// pinByKubo pastes the lines of the page, with what they leave open filled in.
func (n *newcomer) pinByKubo() {
	n.t.Helper()
	var service, pin string
	n.run(chromedp.Text("#line-kubo + .code code", &service), chromedp.Text("#line-kubo-pin + .code code", &pin))
	photo, err := n.kubo.AddFile(n.t.Context(), rig.Random(3, 5<<20), 256<<10)
	check(n.t, err)
	for _, line := range []string{service, strings.NewReplacer("NAME", "photo", "CID", photo).Replace(pin)} {
		words := strings.Fields(line)
		if _, err := n.kubo.Run(n.t.Context(), nil, words[1:]...); err != nil {
			n.t.Fatalf("%s: %v", line, err)
		}
	}
	n.click("a", "Pins")
	n.step("pinned by Kubo", "photo")
	n.click("a", "photo")
	n.see("5.0 MiB")
	id, err := n.kubo.Run(n.t.Context(), nil, "id", "-f", "<id>")
	check(n.t, err)
	// It says who sent it.
	n.until(`document.querySelector("[id^=by-]").innerText.includes(` + quote(strings.TrimSpace(id)[:8]) + `)`)
	n.step("who delivered it", "Kubo on my laptop")
}

const bigFile = 96 << 20

// upload sends a folder.
func (n *newcomer) upload() {
	n.t.Helper()
	dir := filepath.Join(n.t.TempDir(), "holiday")
	check(n.t, os.MkdirAll(filepath.Join(dir, "day 1"), 0o755))
	check(n.t, os.WriteFile(filepath.Join(dir, "day 1", "beach.txt"), []byte("kelp everywhere\n"), 0o644))
	f, err := os.Create(filepath.Join(dir, "film.bin"))
	check(n.t, err)
	_, err = io.Copy(f, rig.Random(4, bigFile))
	check(n.t, errors.Join(err, f.Close()))
	n.click("a", "Add")
	n.step("add", "A folder")
	n.run(chromedp.SetUploadFiles("#folder", []string{dir}))
	n.see("2 files chosen")
	n.click("button", "Upload")
	n.step("uploaded", "is pinned:")
	n.click("a", "holiday")
	n.see("What is in it")
	n.click("summary", "▸day 1/")
	n.step("the folder", "beach.txt")
}

// find searches for it.
func (n *newcomer) find() {
	n.t.Helper()
	n.click("a", "Pins")
	n.see("photo")
	n.fill("name", "holi")
	n.unsee("photo")
	n.step("found", "holiday")
	n.click("a", "holiday")
	n.see("Download as TAR")
}

// download takes the folder back.
func (n *newcomer) download() {
	n.t.Helper()
	var href string
	n.evaluate(`[...document.querySelectorAll("a")].find(a => a.innerText === "Download as TAR").getAttribute("href")`, &href)
	res, body := n.get(href)
	if got := res.Header.Get("Content-Disposition"); !strings.Contains(got, "holiday") {
		n.t.Errorf("the download is called %q", got)
	}
	var names []string
	all := tar.NewReader(bytes.NewReader(body))
	for {
		h, err := all.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		check(n.t, err)
		names = append(names, h.Name)
		if strings.HasSuffix(h.Name, "beach.txt") {
			b, err := io.ReadAll(all)
			check(n.t, err)
			if string(b) != "kelp everywhere\n" {
				n.t.Errorf("%s has %q", h.Name, b)
			}
		}
	}
	if len(names) != 4 {
		n.t.Errorf("the archive has %q", names)
	}
}

// disk is how many bytes the server says that pins take, and what a reclaim gives back.
func (n *newcomer) disk() (pinned, dead string) {
	n.t.Helper()
	n.click("a", "Store")
	n.see("To be given back")
	part := func(name string) (s string) {
		n.evaluate(`[...document.querySelectorAll(".legend div")].find(d => d.innerText.startsWith(`+quote(name)+`)).querySelector("dd").innerText`, &s)
		return s
	}
	return part("Pinned"), part("To be given back")
}

// remove removes the folder.
func (n *newcomer) remove() {
	n.t.Helper()
	n.click("a", "Remove…")
	n.step("asked first", "Remove this pin?")
	n.click("button", "Remove")
	n.step("being removed", "Nothing is gone yet")
	n.until(`!document.querySelector(".leaving")`)
	n.click("a", "Pins")
	n.unsee("holiday")
	n.step("removed", "photo")
}

// diskComesBack gives the space back.
func (n *newcomer) diskComesBack() {
	n.t.Helper()
	pinned, dead := "", ""
	for range 20 { // what was removed is let go of in the background
		if pinned, dead = n.disk(); strings.HasPrefix(dead, "96") {
			break
		}
	}
	n.step("the store", "Give space back")
	if !strings.HasPrefix(pinned, "5.0 MiB") || !strings.HasPrefix(dead, "96") {
		n.t.Errorf("after the removal %s are pinned and %s are to be given back", pinned, dead)
	}
	n.click("button", "Give space back")
	n.see("It is begun")
	n.until(`document.querySelectorAll(".run .badge.pinned").length === 1`)
	n.step("given back", "the database takes")
	if pinned, dead = n.disk(); !strings.HasPrefix(pinned, "5.0 MiB") || dead != "0 B" {
		n.t.Errorf("after that %s are pinned and %s are to be given back", pinned, dead)
	}
	n.step("the disk is back", "Give space back")
}

// whoWasIt finds the removal in the audit record.
func (n *newcomer) whoWasIt() {
	n.t.Helper()
	n.click("a", "Audit")
	n.see("Filter")
	n.run(chromedp.SetValue("#event", "pin.removed"))
	n.click("button", "Filter")
	n.until(`location.search.includes("event=pin.removed") && document.readyState === "complete"`)
	n.see("pin removed")
	n.step("who removed it", "holiday")
	n.see("with a session")
	n.accessible("audit, of a removal")
}
