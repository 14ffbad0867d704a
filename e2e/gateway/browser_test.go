//go:build gateway

package gateway

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// browserPatience is how long a page may take. It takes seconds, and the machine may be busy.
const browserPatience = 2 * time.Minute

// report is the script by which a page tells what it found.
const report = `async function report(what) {
	await fetch(new URLSearchParams(location.search).get('report'), {method: 'POST', body: JSON.stringify(what)});
}
`

// browse opens a page in a browser of its own, with the address to report to in its query, and
// gives what it reports.
func browse(t *testing.T, page string, query url.Values) (got map[string]any) {
	t.Helper()
	reports := make(chan map[string]any, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		var what map[string]any
		if err := json.NewDecoder(r.Body).Decode(&what); err != nil {
			what = map[string]any{"error": err.Error()}
		}
		select {
		case reports <- what:
		default:
		}
	}))
	defer server.Close()
	if query == nil {
		query = url.Values{}
	}
	query.Set("report", server.URL)
	var log bytes.Buffer
	browser := exec.CommandContext(t.Context(), chromium(t),
		"--headless=new", "--no-sandbox", // root has no sandbox
		"--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio", "--autoplay-policy=no-user-gesture-required",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost", // it is to reach nobody else
		"--enable-logging=stderr", "--user-data-dir="+filepath.Join(t.TempDir(), "profile"),
		page+"?"+query.Encode())
	browser.Stdout, browser.Stderr = &log, &log
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- browser.Wait() }()
	defer func() {
		_ = browser.Process.Kill() // it may have ended
		<-ended
		if t.Failed() {
			t.Logf("%s\n%s", &log, suite.server.Tail())
		}
	}()
	select {
	case got = <-reports:
	case err := <-ended:
		ended <- err
		t.Fatalf("the browser ended: %v", err)
	case <-time.After(browserPatience):
		t.Fatal("the page reports nothing")
	}
	if text, failed := got["error"]; failed {
		t.Fatalf("the page reports %v", text)
	}
	return got
}

// chromium is where the browser is: Debian has it as chromium.
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

// subdomain is the address of content at a host of its own.
func subdomain(t *testing.T, cid string) string {
	t.Helper()
	u, err := url.Parse(suite.server.Gateway)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + cid + ".ipfs.localhost:" + u.Port() + "/"
}

// tone is a WAV of some seconds: media that every Chromium plays.
func tone(seconds int) []byte {
	const rate = 44100
	var b bytes.Buffer
	size := uint32(seconds * rate * 2)
	b.WriteString("RIFF")
	_ = binary.Write(&b, binary.LittleEndian, 36+size) // a Buffer takes all
	b.WriteString("WAVEfmt ")
	for _, v := range []any{uint32(16), uint16(1), uint16(1), uint32(rate), uint32(2 * rate), uint16(2), uint16(16)} {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	b.WriteString("data")
	_ = binary.Write(&b, binary.LittleEndian, size)
	for i := range seconds * rate {
		_ = binary.Write(&b, binary.LittleEndian, int16(8000*math.Sin(float64(i)/20)))
	}
	return b.Bytes()
}

// TestWebsite opens a website of 500 files by its subdomain: scripts, styles and images that the
// browser loads by itself. A player seeks in a recording, by ranges.
func TestWebsite(t *testing.T) {
	files := map[string][]byte{"media.wav": tone(120)}
	var tags strings.Builder
	scripts, styles, images := 0, 0, 0
	for i := range 498 {
		switch i % 3 {
		case 0:
			name := fmt.Sprintf("js/%d.js", i)
			files[name] = fmt.Appendf(nil, "window.loaded = (window.loaded || 0) + 1; // %d\n", i)
			fmt.Fprintf(&tags, "<script src=%q></script>\n", name)
			scripts++
		case 1:
			name := fmt.Sprintf("css/%d.css", i)
			files[name] = fmt.Appendf(nil, ":root { --style%d: yes }\n", i)
			fmt.Fprintf(&tags, "<link rel=stylesheet href=%q>\n", name)
			styles++
		case 2:
			name := fmt.Sprintf("img/%d.svg", i)
			files[name] = fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="7"/>`, i+1)
			fmt.Fprintf(&tags, "<img src=%q>\n", name)
			images++
		}
	}
	files["index.html"] = []byte(`<!doctype html><title>many</title>
` + tags.String() + `<video id=player preload=metadata src=media.wav></video>
<script>` + report + `
addEventListener('load', async () => {
	try {
		const style = getComputedStyle(document.documentElement);
		const player = document.getElementById('player');
		if (player.readyState < 1) await new Promise((ok, no) => { player.onloadedmetadata = ok; player.onerror = () => no(player.error.message) });
		await new Promise((ok, no) => { player.onseeked = ok; player.onerror = () => no(player.error.message); player.currentTime = 110 });
		const part = await fetch('media.wav', {headers: {Range: 'bytes=5000000-5000099'}});
		await report({
			scripts: window.loaded,
			styles: [...Array(498).keys()].filter(i => style.getPropertyValue('--style' + i).trim() === 'yes').length,
			images: [...document.images].filter(i => i.complete && i.naturalWidth > 0).length,
			duration: player.duration, at: player.currentTime,
			seekable: player.seekable.length && player.seekable.end(0),
			status: part.status, range: part.headers.get('Content-Range'), bytes: (await part.arrayBuffer()).byteLength,
			origin: location.origin,
		});
	} catch (e) { await report({error: String(e)}) }
});
</script>`)
	cid := addTree(t, files)
	got := browse(t, subdomain(t, cid), nil)
	want := map[string]any{
		"scripts": float64(scripts), "styles": float64(styles), "images": float64(images),
		"duration": 120.0, "at": 110.0, "seekable": 120.0,
		"status": 206.0, "range": fmt.Sprintf("bytes 5000000-5000099/%d", len(files["media.wav"])), "bytes": 100.0,
		"origin": strings.TrimSuffix(subdomain(t, cid), "/"),
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s is %v, want %v", name, got[name], w)
		}
	}
	t.Logf("%d files, %v", len(files), got)
}

// diary keeps a secret in each place that a browser has for that, and goes on to another page.
const diary = `<!doctype html><title>diary</title><h1 id=secret>secret</h1><script>` + report + `
(async () => {
	try {
		localStorage.setItem('secret', 'mine');
		sessionStorage.setItem('secret', 'mine');
		document.cookie = 'secret=mine; path=/; max-age=1000';
		await new Promise((ok, no) => {
			const open = indexedDB.open('secret');
			open.onsuccess = ok;
			open.onerror = () => no('no database');
		});
		await (await caches.open('secret')).put('/secret', new Response('mine'));
		const next = new URLSearchParams(location.search).get('next');
		if (next) location = next + location.search + '&victim=' + encodeURIComponent(location.origin);
		else await report({kept: localStorage.getItem('secret')});
	} catch (e) { await report({error: String(e)}) }
})();
</script>`

// thief looks for the secret wherever it may be.
const thief = `<!doctype html><title>thief</title><script>` + report + `
(async () => {
	const attempt = async f => { try { return String(await f()) } catch (e) { return 'no: ' + e.name } };
	const victim = new URLSearchParams(location.search).get('victim');
	const frame = document.createElement('iframe');
	if (victim) {
		frame.src = victim + '/';
		const there = new Promise(ok => { frame.onload = ok });
		document.body.append(frame);
		await there;
	}
	await report({
		local: await attempt(() => localStorage.getItem('secret')),
		session: await attempt(() => sessionStorage.getItem('secret')),
		cookie: await attempt(() => document.cookie),
		databases: await attempt(async () => (await indexedDB.databases()).length),
		caches: await attempt(() => caches.has('secret')),
		frame: await attempt(() => frame.contentWindow.document.getElementById('secret').textContent),
		frameStorage: await attempt(() => frame.contentWindow.localStorage.getItem('secret')),
		worker: await attempt(async () => { await navigator.serviceWorker.register(victim + '/worker.js'); return 'registered' }),
		origin: self.origin,
	});
})();
</script>`

// TestWebsitesAreKeptApart: what one website keeps in the browser, another one does not get, by
// subdomain. By path, a page keeps nothing at all.
func TestWebsitesAreKeptApart(t *testing.T) {
	victim := addTree(t, map[string][]byte{"index.html": []byte(diary), "worker.js": []byte("self.x = 1")})
	hostile := addTree(t, map[string][]byte{"index.html": []byte(strings.Replace(thief, "<script>", "<body><script>", 1))})

	// The secret is there for who is of the same origin: else the test would show nothing.
	if got := browse(t, subdomain(t, victim), nil); got["kept"] != "mine" {
		t.Fatalf("the diary reports %v", got)
	}
	same := addTree(t, map[string][]byte{
		"index.html": []byte(diary), "thief/index.html": []byte(strings.Replace(thief, "<script>", "<body><script>", 1)),
	})
	got := browse(t, subdomain(t, same), url.Values{"next": {subdomain(t, same) + "thief/"}})
	for name, want := range map[string]any{"local": "mine", "cookie": "secret=mine", "caches": "true", "databases": "1", "frame": "secret"} {
		if got[name] != want {
			t.Errorf("within one website: %s is %v, want %v", name, got[name], want)
		}
	}

	got = browse(t, subdomain(t, victim), url.Values{"next": {subdomain(t, hostile)}})
	for name, want := range map[string]any{
		"local": "null", "session": "null", "cookie": "", "databases": "0", "caches": "false",
		"frame": "no: SecurityError", "frameStorage": "no: SecurityError", "worker": "no: SecurityError",
		"origin": strings.TrimSuffix(subdomain(t, hostile), "/"),
	} {
		if got[name] != want {
			t.Errorf("from another website: %s is %v, want %v", name, got[name], want)
		}
	}

	got = browse(t, suite.server.Gateway+"/ipfs/"+hostile+"/", nil)
	for name, want := range map[string]any{
		"local": "no: SecurityError", "session": "no: SecurityError", "cookie": "no: SecurityError", "origin": "null",
	} {
		if got[name] != want {
			t.Errorf("by path: %s is %v, want %v", name, got[name], want)
		}
	}
}
