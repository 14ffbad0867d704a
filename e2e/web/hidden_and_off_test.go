//go:build browser

package web

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

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
