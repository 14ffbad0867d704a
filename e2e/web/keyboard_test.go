//go:build browser

package web

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

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
	w.see("What is in it") // it may be pinned before the notice is seen: then the page is loaded anew
	w.see("pinned")
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
