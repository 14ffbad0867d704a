//go:build browser

package web

import (
	"os"
	"path/filepath"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// dropScript drops something on an element of the page, as a browser does for a hand. It tells
// whether the page takes it, and whether the zone shows that while it is above it.
const dropScript = `((where, fill) => {
	const dataTransfer = new DataTransfer(), target = document.querySelector(where), zone = document.getElementById("drop");
	fill(dataTransfer);
	const send = (name) => !target.dispatchEvent(new DragEvent(name, {dataTransfer, bubbles: true, cancelable: true}));
	send("dragenter");
	const taken = send("dragover"), shown = zone.classList.contains("over");
	return {Taken: taken && send("drop"), Shown: shown, Left: !zone.classList.contains("over")};
})`

type dropped struct{ Taken, Shown, Left bool }

// drop uploads what is dropped on the page that adds pins.
func (w *world) drop() {
	w.t.Helper()
	drop := func(where, fill string) (is dropped) {
		w.t.Helper()
		w.open("/ui/add")
		w.evaluate(dropScript+"(`"+where+"`, (t) => {"+fill+"})", &is)
		if !is.Taken {
			w.t.Errorf("the browser opens what is dropped on %s", where)
		}
		return is
	}
	zone := dropped{Taken: true, Shown: true, Left: true}
	if is := drop("#drop-hint", `t.items.add(new File(["it was dropped"], "dropped & <b>.txt"))`); is != zone {
		w.t.Errorf("the zone: %+v", is)
	}
	w.see("is pinned:")
	w.run(chromedp.Click("#sent a"))
	w.see("pinned")
	w.see("dropped & <b>.txt")
	drop("#drop", `t.items.add(new File(["1"], "first.txt")); t.items.add(new File(["2"], "second.txt"))`)
	w.see("2 files are pinned:")
	w.run(chromedp.Click("#sent a"))
	w.see("first.txt and 1 other")
	w.see("second.txt")
	// A folder, as the hand of somebody drops it from another window.
	dir := filepath.Join(w.t.TempDir(), "dropped folder")
	check(w.t, os.MkdirAll(filepath.Join(dir, "below"), 0o755))
	check(w.t, os.WriteFile(filepath.Join(dir, "below", "deep.txt"), []byte("deep"), 0o644))
	w.open("/ui/add")
	var at struct{ X, Y float64 }
	w.evaluate(`(() => { const r = document.getElementById("drop-hint").getBoundingClientRect(); return {X: r.x + 5, Y: r.y + 5} })()`, &at)
	for _, event := range []input.DispatchDragEventType{input.DragEnter, input.DragOver, input.Drop} {
		w.run(input.DispatchDragEvent(event, at.X, at.Y, &input.DragData{Items: []*input.DragDataItem{}, Files: []string{dir}, DragOperationsMask: 1}))
	}
	w.see("dropped folder is pinned:")
	w.run(chromedp.Click("#sent a"))
	w.see("▸below/")
	// What is no file is refused.
	drop("#drop", `t.setData("text/plain", "some words")`)
	w.see("No file was chosen")
	w.accessible("a drop of no file")
	// Beside the zone nothing is sent, and the page stays.
	if is := drop("h1", `t.items.add(new File(["x"], "beside.txt"))`); is.Shown {
		w.t.Error("the zone shows what is beside it")
	}
	w.open("/ui/pins?name=beside")
	w.see("No pin matches this filter")
}
