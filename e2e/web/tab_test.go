//go:build browser

package web

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience is how long a page may take: the machine is busy.
const patience = time.Minute

// tab is a page in a browser of its own. It notes what its console says and what it asks for.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string // of the server

	mu      sync.Mutex
	console []string
	outside []string // requests that leave the origin
	mayFail []string // parts of console lines that are expected
}

func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no Chromium: Debian has it as chromium")
	return ""
}

// newTab opens a browser. When the test ends, its console must be empty, and nothing must have
// been asked of another origin.
func newTab(t *testing.T, base string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)),
		chromedp.NoSandbox, // root has no sandbox
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), // it is to reach nobody else
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Env("TZ=Europe/Lisbon"),
	)...)
	t.Cleanup(cancel)
	return openTab(t, ctx, base)
}

// private opens a tab without the cookies of this one, as somebody else's browser. It is checked
// as this one is.
func (tab *tab) private() *tab {
	tab.t.Helper()
	var opened target.ID
	browser := cdp.WithExecutor(tab.ctx, chromedp.FromContext(tab.ctx).Browser)
	who, err := target.CreateBrowserContext().WithDisposeOnDetach(true).Do(browser)
	if err == nil {
		opened, err = target.CreateTarget("about:blank").WithBrowserContextID(who).WithNewWindow(true).Do(browser) // the first window that is its own
	}
	if err != nil {
		tab.t.Fatalf("open a private tab: %v", err)
	}
	return openTab(tab.t, tab.ctx, tab.base, chromedp.WithTargetID(opened))
}

func openTab(t *testing.T, ctx context.Context, base string, how ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(ctx, how...)
	t.Cleanup(cancel)
	tab := &tab{t: t, ctx: ctx, base: strings.TrimSuffix(base, "/")}
	chromedp.ListenTarget(ctx, tab.note)
	tab.run(log.Enable(), network.Enable(), runtime.Enable(), chromedp.EmulateViewport(1200, 800))
	t.Cleanup(func() {
		tab.mu.Lock()
		defer tab.mu.Unlock()
		for _, line := range tab.console {
			t.Errorf("the console says: %s", line)
		}
		for _, url := range tab.outside {
			t.Errorf("a page asked for %s", url)
		}
	})
	return tab
}

func (tab *tab) note(event any) {
	line := ""
	switch e := event.(type) {
	case *log.EventEntryAdded:
		line = e.Entry.Text + " " + e.Entry.URL
	case *runtime.EventConsoleAPICalled:
		for _, a := range e.Args {
			line += string(a.Value) + " "
		}
	case *runtime.EventExceptionThrown:
		line = e.ExceptionDetails.Error()
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, tab.base+"/") && !strings.HasPrefix(e.Request.URL, "about:") && !strings.HasPrefix(e.Request.URL, "data:") {
			tab.mu.Lock()
			tab.outside = append(tab.outside, e.Request.URL)
			tab.mu.Unlock()
		}
		return
	}
	tab.mu.Lock()
	defer tab.mu.Unlock()
	for _, part := range tab.mayFail {
		if strings.Contains(line, part) {
			return
		}
	}
	if line != "" {
		tab.console = append(tab.console, line)
	}
}

// expect lets the console say something.
func (tab *tab) expect(part string) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.mayFail = append(tab.mayFail, part)
}

// run does something within patience. If it fails, a screenshot shows why.
func (tab *tab) run(actions ...chromedp.Action) {
	tab.t.Helper()
	// The first run opens the browser, which ends with its context.
	if chromedp.FromContext(tab.ctx).Target == nil {
		if err := chromedp.Run(tab.ctx); err != nil {
			tab.t.Fatalf("open the browser: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		var shot []byte
		var where string
		path := filepath.Join(os.TempDir(), "holdfast-failed-"+tab.t.Name()+".png")
		err := errors.Join(err, chromedp.Run(tab.ctx, chromedp.Location(&where), chromedp.CaptureScreenshot(&shot)), os.WriteFile(path, shot, 0o600))
		tab.t.Fatalf("at %s: %v (%s shows it)", where, err, path)
	}
}

func (tab *tab) open(path string) {
	tab.t.Helper()
	tab.run(chromedp.Navigate(tab.base+path), chromedp.WaitReady("#main"))
}

// evaluate runs a script of the test's, and waits for its promise.
func (tab *tab) evaluate(script string, out any) {
	tab.t.Helper()
	tab.run(chromedp.Evaluate(script, out, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
}

// see waits until the page has a text.
func (tab *tab) see(text string) {
	tab.t.Helper()
	tab.until(`document.body && document.body.innerText.includes(` + quote(text) + `)`)
}

// unsee waits until it has not.
func (tab *tab) unsee(text string) {
	tab.t.Helper()
	tab.until(`document.body && !document.body.innerText.includes(` + quote(text) + `)`)
}

// until waits until a script is true, on whatever page the browser is then.
func (tab *tab) until(script string) {
	tab.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		var ok bool
		// It fails in the middle of a navigation.
		if err := chromedp.Run(tab.ctx, chromedp.Evaluate(`!!(`+script+`)`, &ok)); err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			tab.run(chromedp.ActionFunc(func(context.Context) error { return errors.New("it did not come to " + script) }))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func quote(s string) string {
	return "`" + strings.NewReplacer("`", "\\`", "\\", "\\\\").Replace(s) + "`"
}

// click clicks the visible element with that text.
func (tab *tab) click(selector, text string) {
	tab.t.Helper()
	tab.run(chromedp.Click(`//`+selector+`[normalize-space()=`+xpath(text)+`][not(ancestor::*[@hidden])]`, chromedp.BySearch, chromedp.NodeVisible))
}

func xpath(s string) string { return `"` + s + `"` }

// fill types into a field, in place of what is there.
func (tab *tab) fill(id, text string) {
	tab.t.Helper()
	tab.run(chromedp.WaitVisible("#"+id), chromedp.Evaluate(`document.getElementById("`+id+`").value = ""`, nil), chromedp.SendKeys("#"+id, text))
}

// keys presses keys, whatever has the focus.
func (tab *tab) keys(keys ...string) {
	tab.t.Helper()
	for _, k := range keys {
		tab.run(chromedp.KeyEvent(k))
	}
}

// tabTo presses Tab until what has the focus has the text or label, and fails if that does not come.
func (tab *tab) tabTo(label string) {
	tab.t.Helper()
	const limit = 80
	for range limit {
		tab.run(chromedp.KeyEvent(kb.Tab))
		var has string
		tab.run(chromedp.Evaluate(`(() => { const e = document.activeElement; if (!e) return "";
			const l = e.labels && e.labels[0]; return (e.getAttribute("aria-label") || (l && l.innerText) || e.innerText || "").trim(); })()`, &has))
		if has == label {
			var shown bool
			tab.run(chromedp.Evaluate(`document.activeElement.matches(":focus-visible") && getComputedStyle(document.activeElement).outlineStyle !== "none"`, &shown))
			if !shown {
				tab.t.Errorf("the focus is not shown on %q", label)
			}
			return
		}
	}
	tab.t.Fatalf("no Tab leads to %q", label)
}

// look is how a page is shown.
type look struct {
	name, scheme  string
	width, height int64
}

var looks = []look{{"light", "light", 1200, 800}, {"dark", "dark", 1200, 800}, {"phone", "light", 390, 844}}

func (tab *tab) as(l look) {
	tab.t.Helper()
	tab.run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}),
		chromedp.EmulateViewport(l.width, l.height))
}

// inAllLooks checks the page as it is: in light, in dark, and on a phone, where nothing must be
// wider than the screen.
func (tab *tab) inAllLooks(what string) {
	tab.t.Helper()
	for _, l := range looks {
		tab.as(l)
		tab.accessible(what + ", " + l.name)
		var wide int
		tab.run(chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &wide))
		if wide > 0 {
			tab.t.Errorf("%s, %s: it is %d pixels wider than the window", what, l.name, wide)
		}
		tab.shot(what, l)
	}
	// 200 % of 1200 pixels is the layout of 600.
	tab.run(chromedp.EmulateViewport(600, 400))
	var wide int
	tab.run(chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &wide))
	if wide > 0 {
		tab.t.Errorf("%s, at 200 %%: it is %d pixels wider than the window", what, wide)
	}
	tab.as(looks[0])
}
