package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// uploadRows are what both take by the RPC, from the same client: with what each has by default,
// until it answers that all is pinned and synced.
var uploadRows = []row{
	{name: "add a file of 1 GiB", target: 3},
	{name: "add a directory of 20,000 files", target: 5},
	{name: "import a CAR of 100 MiB in 4 KiB blocks", target: 6},
	{name: "import a CAR of 1 GiB in 1 MiB blocks", target: 3},
}

// upload is something to send: a command, and the form that is its body.
type upload struct {
	command string
	form    func(*multipart.Writer) error
}

// onlyUploads measures uploads, and prints their rows and the memory that both took.
func onlyUploads(ctx context.Context, r *rig.Rig, runs int, source *rig.Kubo, out io.Writer, say func(string, ...any)) error {
	res := &results{rows: uploadRows}
	for i := range runs {
		one := &run{rig: r, source: source, results: res, say: func(format string, a ...any) {
			say("run %d of %d: "+format, append([]any{i + 1, runs}, a...)...)
		}}
		if err := one.uploads(ctx); err != nil {
			return err
		}
	}
	if err := printRows(out, res.rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nMemory of its own, at most: Kubo %.0f MiB, Holdfast %.0f MiB\n", mib(res.inPeaks.kubo), mib(res.inPeaks.holdfast))
	return err
}

// uploads sends files and CARs to a fresh Kubo and a fresh Holdfast, in turns. Neither has a
// block of them.
func (r *run) uploads(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	all, err := r.makeUploads(ctx, dir)
	if err != nil {
		return fmt.Errorf("make what is uploaded: %w", err)
	}
	kubo, err := r.rig.StartKubo(ctx, "kubo", rig.KuboOptions{})
	if err != nil {
		return err
	}
	defer os.RemoveAll(kubo.Repo)
	defer kubo.Kill()
	server, client, err := startHoldfast(ctx, r.rig, nil)
	if err != nil {
		return err
	}
	defer os.RemoveAll(server.Data.Dir)
	defer server.Kill()
	stop := r.results.inPeaks.watch(kubo.PID(), server.PID())
	for i, u := range all {
		name := uploadRows[i].name
		theirs, kuboTook, err := u.send(ctx, kubo.API(), "")
		if err != nil {
			return errors.Join(fmt.Errorf("%s to Kubo: %w", name, err), stop())
		}
		ours, holdfastTook, err := u.send(ctx, server.HTTP+"/api/v0/", client.Token)
		if err != nil {
			return errors.Join(fmt.Errorf("%s to Holdfast: %w\n%s", name, err, server.Tail()), stop())
		}
		if theirs != ours {
			return errors.Join(fmt.Errorf("%s: Kubo answers %s, and Holdfast %s", name, theirs, ours), stop())
		}
		r.results.add(name, kuboTook, holdfastTook)
		r.say("%s: Kubo %.2f s, Holdfast %.2f s", name, kuboTook.Seconds(), holdfastTook.Seconds())
	}
	return errors.Join(stop(), server.Stop())
}

// makeUploads makes what is sent, in a directory. CARs come from the source.
func (r *run) makeUploads(ctx context.Context, dir string) ([]upload, error) {
	large, tree := filepath.Join(dir, "large"), filepath.Join(dir, "tree")
	if err := writeFile(large, rig.Random(11, 1<<30)); err != nil {
		return nil, err
	}
	if err := rig.WriteTree(tree, 12, 0, 20_000); err != nil {
		return nil, err
	}
	uploads := []upload{
		{"add?quieter=true", func(w *multipart.Writer) error { return sendFile(w, "large", large) }},
		{"add?quieter=true", func(w *multipart.Writer) error { return sendTree(w, tree) }},
	}
	for _, c := range []struct {
		name        string
		seed        uint64
		size, chunk int
	}{{"small.car", 13, 100 << 20, 4 << 10}, {"large.car", 14, 1 << 30, 1 << 20}} {
		path := filepath.Join(dir, c.name)
		root, err := r.source.AddFile(ctx, rig.Random(c.seed, int64(c.size)), c.chunk)
		if err != nil {
			return nil, err
		}
		car, err := r.source.Export(ctx, root)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(writeFile(path, car), car.Close()); err != nil {
			return nil, err
		}
		uploads = append(uploads, upload{"dag/import?stats=true", func(w *multipart.Writer) error { return sendFile(w, c.name, path) }})
	}
	return uploads, nil
}

func writeFile(path string, from io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// send times an upload from the request to the end of the answer, and gives the answer's last line.
func (u upload) send(ctx context.Context, api, token string) (last string, took time.Duration, err error) {
	if err := settle(); err != nil {
		return "", 0, err
	}
	began := time.Now()
	r, w := io.Pipe()
	defer r.Close() // ends the writer if the server stops reading
	buffered := bufio.NewWriterSize(w, 1<<20)
	form := multipart.NewWriter(buffered)
	go func() {
		err := u.form(form)
		if err == nil {
			err = form.Close()
		}
		if err == nil {
			err = buffered.Flush()
		}
		w.CloseWithError(err)
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, api+u.command, r)
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if text := res.Trailer.Get("X-Stream-Error"); err == nil && (res.StatusCode != http.StatusOK || text != "") {
		err = fmt.Errorf("%s %s %s", res.Status, body, text)
	}
	if err != nil {
		return "", 0, err
	}
	lines := strings.Split(strings.TrimSpace(string(body)), "\n")
	return lines[len(lines)-1], time.Since(began), nil
}

func sendFile(w *multipart.Writer, name, path string) error {
	to, err := w.CreatePart(header(name, "application/octet-stream"))
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, f)
	return errors.Join(err, f.Close())
}

func sendTree(w *multipart.Writer, root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(filepath.Dir(root), path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, err := w.CreatePart(header(name, "application/x-directory"))
			return err
		}
		return sendFile(w, name, path)
	})
}

func header(name, contentType string) textproto.MIMEHeader {
	return textproto.MIMEHeader{
		"Content-Disposition": {fmt.Sprintf("form-data; name=%q; filename=%q", "file", url.QueryEscape(name))},
		"Content-Type":        {contentType},
	}
}
