package web

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"html"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
)

const hostile = `<html><script>top.document.title = "taken"; fetch("/ui/account")</script><img src=x onerror=alert(1)>`

// png is the smallest image there is, nearly.
var png = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89")

func site(r *rig) string {
	return r.tree(map[string][]byte{
		"index.html": []byte(hostile), "shot.png": png, "data.bin": {0, 1, 2, 3}, "docs/deep/notes.txt": []byte("notes, ünïcode"),
		`<b onclick=x>".txt`: []byte("odd"), "a b&c?d#e%20.txt": []byte("very odd"),
	})
}

func TestOnePin(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Gateway = "https://dweb.example.com" })
	v := r.pinned(ben, site(r), "my site")
	r.pin(ben, v.CID, "again")
	b := r.as(ben)
	path := "/ui/pins/" + v.ID
	a := b.get(path).must(t, http.StatusOK, "my site", "pinned", "3.0 MiB in 3 blocks", "Also pinned as", "again",
		"index.html", "docs/", "&lt;b onclick=x&gt;", "Download as TAR", "ipfs swarm connect /ip4/127.0.0.1/tcp/4040/p2p/12D3", "ipfs get "+v.CID, `href="https://dweb.example.com/ipfs/`+v.CID)
	if strings.Contains(a.body, "<b onclick") {
		t.Error("a file name is markup")
	}
	if strings.Contains(a.body, "notes.txt") {
		t.Error("the tree is not lazy")
	}
	b.get(path+"/files?path=docs", "HX-Request", "true").must(t, http.StatusOK, "deep/")
	b.get(path+"/files?path=docs/deep").must(t, http.StatusOK, "notes.txt", "<html")
	for name, kind := range map[string]string{
		"index.html": "text", "shot.png": "image", "data.bin": "", "docs/deep/notes.txt": "text", `<b onclick=x>".txt`: "text", "a b&c?d#e%20.txt": "text",
	} {
		a := b.get(path + "/file?path=" + url.QueryEscape(name))
		if a.status != http.StatusOK || strings.Contains(a.body, "<iframe") != (kind != "") || strings.Contains(a.body, "<b onclick") {
			t.Errorf("%s answers %d:\n%s", name, a.status, a.body)
		}
		p := b.get(path + "/preview?path=" + url.QueryEscape(name))
		want := map[string]string{"text": "text/plain; charset=utf-8", "image": "image/png"}[kind]
		if kind == "" {
			if p.status != http.StatusUnsupportedMediaType {
				t.Errorf("the preview of %s answers %d", name, p.status)
			}
			continue
		}
		if p.status != http.StatusOK || p.header.Get("Content-Type") != want {
			t.Errorf("the preview of %s answers %d %v", name, p.status, p.header)
		}
	}
	b.get(path+"/file?path=docs").must(t, http.StatusSeeOther)
	b.get(path+"/files?path=nothing").must(t, http.StatusBadRequest, "no link named")
	for _, bad := range []string{"../x", "a//b", "./a"} {
		b.get(path+"/files?path="+bad).must(t, http.StatusBadRequest)
	}
}

// Whatever a stranger pinned, a preview runs nothing in our origin: not in its frame, and not
// if somebody opens its address.
func TestPreviewRunsNothing(t *testing.T) {
	r := newRig(t)
	v := r.pinned(ben, site(r), "hostile")
	b := r.as(ben)
	a := b.get("/ui/pins/"+v.ID+"/preview?path=index.html").must(t, http.StatusOK, hostile)
	for name, want := range map[string]string{
		"Content-Type": "text/plain; charset=utf-8", "Content-Disposition": "inline", "X-Frame-Options": "SAMEORIGIN",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	csp := a.header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "sandbox;") || !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "allow-") {
		t.Errorf("the policy is %q", csp)
	}
	if page := b.get("/ui/pins/" + v.ID + "/file?path=index.html"); !strings.Contains(page.body, `sandbox src="`) {
		t.Errorf("the frame has no sandbox:\n%s", page.body)
	}
	d := b.get("/ui/pins/"+v.ID+"/download?path=index.html").must(t, http.StatusOK, hostile)
	if !strings.HasPrefix(d.header.Get("Content-Disposition"), "attachment") || d.header.Get("Content-Type") != "application/octet-stream" ||
		d.header.Get("Content-Security-Policy") != filePolicy {
		t.Errorf("the download has %v", d.header)
	}
}

func TestDownloads(t *testing.T) {
	r := newRig(t)
	v := r.pinned(ben, site(r), "sites/\"mine\"\r\n: 2026")
	b := r.as(ben)
	a := b.get("/ui/pins/"+v.ID+"/download?as=tar").must(t, http.StatusOK)
	_, params, err := mime.ParseMediaType(a.header.Get("Content-Disposition"))
	if err != nil || params["filename"] != "sites__mine___ 2026.tar" && params["filename"] != "sites__mine____ 2026.tar" {
		t.Errorf("it is saved as %v, %v", params, err)
	}
	names := map[string]bool{}
	for tr := tar.NewReader(strings.NewReader(a.body)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names[h.Name[strings.Index(h.Name, "/")+1:]] = true
	}
	if !names["docs/deep/notes.txt"] || !names["index.html"] {
		t.Errorf("the archive has %v", names)
	}
	car := b.get("/ui/pins/"+v.ID+"/download?as=car").must(t, http.StatusOK)
	root, err := cid.Decode(v.CID)
	if err != nil || !bytes.Contains([]byte(car.body[:100]), root.Bytes()) {
		t.Errorf("the CAR begins with %q, %v", car.body[:100], err)
	}
	b.get("/ui/pins/"+v.ID+"/download?path=docs/deep/notes.txt").must(t, http.StatusOK, "notes, ünïcode")
	for _, as := range []string{"car", "tar"} {
		if a := b.do(http.MethodHead, "/ui/pins/"+v.ID+"/download?as="+as, nil); a.status != http.StatusOK || a.header.Get("Content-Disposition") == "" {
			t.Errorf("the headers of a %s are %d %v", as, a.status, a.header)
		}
	}
	r.noFaults()
}

// Names of directories that mean something in a URL lead to these directories.
func TestNamesInURLs(t *testing.T) {
	r := newRig(t)
	v := r.pinned(ben, r.tree(map[string][]byte{"R&D/plan": []byte("x"), "C#/code": []byte("x"), "50%/half": []byte("x"), "a+b/sum": []byte("x")}), "odd")
	b := r.as(ben)
	page := b.get("/ui/pins/"+v.ID+"/files").must(t, http.StatusOK)
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`hx-get="([^"]+/files[^"]*)"`).FindAllStringSubmatch(page.body, -1) {
		below := b.get(html.UnescapeString(m[1]), "HX-Request", "true").must(t, http.StatusOK)
		for _, name := range []string{"plan", "code", "half", "sum"} {
			if strings.Contains(below.body, ">"+name+"<") {
				found[name] = true
			}
		}
	}
	if len(found) != 4 {
		t.Errorf("the tree leads to %v", found)
	}
}

// A download that fails in the middle must not look whole.
func TestDownloadFailsInTheMiddle(t *testing.T) {
	r := newRig(t)
	v := r.pinned(ben, site(r), "site")
	root, err := cid.Decode(v.CID)
	if err != nil {
		t.Fatal(err)
	}
	b := r.as(ben)
	gone, err := r.blocks.Get(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := r.blocks.AllKeysChan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for k := range keys {
		if string(k.Hash()) != string(gone.Cid().Hash()) {
			if err := r.blocks.DeleteBlock(t.Context(), k); err != nil {
				t.Fatal(err)
			}
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.server.URL+"/ui/pins/"+v.ID+"/download?as=car", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := b.http.Do(req)
	if err == nil {
		defer res.Body.Close()
		if _, err = io.ReadAll(res.Body); err == nil && res.StatusCode == http.StatusOK {
			t.Error("the download looks whole")
		}
	}
}

// A large directory is listed in parts.
func TestLargeDirectory(t *testing.T) {
	r := newRig(t)
	files := map[string][]byte{}
	for i := range 450 {
		files[fmt.Sprintf("file-%03d", i)] = []byte("x")
	}
	v := r.pinned(ben, r.tree(files), "many")
	b := r.as(ben)
	a := b.get("/ui/pins/"+v.ID).must(t, http.StatusOK, "file-000", "file-199", "skip=200")
	if strings.Contains(a.body, "file-200") {
		t.Error("there are too many at once")
	}
	b.get("/ui/pins/"+v.ID+"/files?path=&skip=200", "HX-Request", "true").must(t, http.StatusOK, "file-200", "file-399", "skip=400")
	last := b.get("/ui/pins/"+v.ID+"/files?path=&skip=400").must(t, http.StatusOK, "file-400", "file-449")
	if strings.Contains(last.body, "skip=") {
		t.Error("there is more behind the last part")
	}
	r.noFaults() // although the RPC would have listed more
}
