package rpc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"sync/atomic"

	"github.com/ipfs/boxo/files"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/upload"
)

// intake is an upload to a world. Its blocks are there at once.
type intake struct {
	w       *world
	puts    atomic.Int64
	flushed bool
}

func (w *world) upload(context.Context, string) (Upload, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return nil, w.refuse
	}
	w.live++
	return &intake{w: w}, nil
}

func (in *intake) Put(ctx context.Context, c cid.Cid, data []byte) error {
	if on := in.w.onPut; on != nil {
		if err := on(int(in.puts.Add(1))); err != nil {
			return err
		}
	}
	b, err := blocks.NewBlockWithCid(data, c)
	if err != nil {
		return err
	}
	return in.w.blocks.Put(ctx, b)
}

func (in *intake) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	b, err := in.w.blocks.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	return b.RawData(), nil
}

func (in *intake) Flush(context.Context) error {
	in.flushed = true
	return nil
}

func (in *intake) Lacks(ctx context.Context, root cid.Cid) (cid.Cid, error) {
	for todo := []cid.Cid{root}; len(todo) > 0; {
		c := todo[0]
		todo = todo[1:]
		b, err := in.w.blocks.Get(ctx, c)
		if ipld.IsNotFound(err) {
			return c, nil
		} else if err != nil {
			return cid.Undef, err
		}
		below, err := in.w.links(c, b.RawData())
		if err != nil {
			return cid.Undef, err
		}
		todo = append(todo, below...)
	}
	return cid.Undef, nil
}

func (in *intake) HoldFor(pin.View) {
	if !in.flushed {
		in.w.t.Error("a request is made for blocks that are not durable")
	}
}

func (in *intake) Charged() {}

func (in *intake) Close() error {
	in.w.mu.Lock()
	defer in.w.mu.Unlock()
	in.w.live--
	return nil
}

// part is what a client sends of one file or directory.
type part struct {
	name, kind, content string
	query               string // of the form's name, such as "mode=0644"
}

const (
	aFile    = "application/octet-stream"
	aDir     = "application/x-directory"
	aSymlink = "application/symlink"
)

// form makes the body of a request.
func form(parts ...part) (contentType string, body []byte) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", fmt.Sprintf(`form-data; name="file?%s"; filename="%s"`, p.query, url.QueryEscape(p.name)))
		h.Set("Content-Type", p.kind)
		to, err := w.CreatePart(h)
		if err == nil {
			_, err = io.WriteString(to, p.content)
		}
		if err != nil {
			panic(err) // it is in memory
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return w.FormDataContentType(), buf.Bytes()
}

// send calls a command with a body.
func (w *world) send(account, command, query, contentType string, body io.Reader) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+command+"?"+query, body)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+account)
	r.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, res.Trailer, got}
}

// sendParts calls a command with files.
func (w *world) sendParts(account, command, query string, parts ...part) answer {
	w.t.Helper()
	contentType, body := form(parts...)
	return w.send(account, command, query, contentType, bytes.NewReader(body))
}

// pinAll has every request be pinned when it is looked at.
func (w *world) pinAll() {
	w.onGet = func(v *pin.View) { v.Status = pin.Pinned }
}

// rootOf is the root of a file that is added without parameters. Its blocks are there then.
func (w *world) rootOf(content string) cid.Cid {
	w.t.Helper()
	o, err := upload.Flags{}.Resolve(upload.Default)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := upload.NewAdder(&intake{w: w}, o, upload.Events{}).Add(w.t.Context(), files.NewBytesFile([]byte(content)))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}
