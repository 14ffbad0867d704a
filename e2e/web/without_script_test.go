//go:build browser

package web

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

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
	w.run(chromedp.WaitVisible(`#name[value="pla"]`)) // on the page that comes
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
