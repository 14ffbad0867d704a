//go:build ignore

package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// args: base email password outdir path...
func main() {
	base, email, pass, out := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath("/usr/bin/chromium"))...)
	defer cancel()
	ctx, cancel := chromedp.NewContext(alloc)
	defer cancel()
	chromedp.ListenTarget(ctx, func(ev any) {
		switch e := ev.(type) {
		case *log.EventEntryAdded:
			fmt.Println("LOG", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		case *runtime.EventConsoleAPICalled:
			fmt.Println("CONSOLE", e.Args[0].Value)
		case *runtime.EventExceptionThrown:
			fmt.Println("EXC", e.ExceptionDetails.Error())
		}
	})
	must := func(err error) {
		if err != nil {
			fmt.Println("ERR", err)
		}
	}
	must(chromedp.Run(ctx, log.Enable(), chromedp.Navigate(base+"/ui/signin")))
	must(chromedp.Run(ctx, chromedp.SendKeys("#email", email), chromedp.SendKeys("#password", pass), chromedp.Click("form[action='/ui/signin'] button"), chromedp.WaitVisible(".who")))
	for _, p := range os.Args[5:] {
		for _, mode := range []struct {
			name, scheme string
			w, h         int64
		}{{"light", "light", 1200, 900}, {"dark", "dark", 1200, 900}, {"phone", "light", 390, 844}} {
			if m := os.Getenv("MODE"); m != "" && !strings.Contains(m, mode.name) {
				continue
			}
			var buf []byte
			must(chromedp.Run(ctx, emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: mode.scheme}}),
				chromedp.EmulateViewport(mode.w, mode.h), chromedp.Navigate(base+p), chromedp.WaitReady("#main"), chromedp.Evaluate(os.Getenv("JS")+";0", nil), chromedp.Sleep(1500e6), chromedp.CaptureScreenshot(&buf)))
			name := strings.NewReplacer("/", "_", "?", "_", "&", "_", "=", "_").Replace(strings.TrimPrefix(p, "/ui/"))
			must(os.WriteFile(fmt.Sprintf("%s/%s.%s.png", out, name, mode.name), buf, 0o644))
		}
	}
}
