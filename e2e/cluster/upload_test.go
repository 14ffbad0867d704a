//go:build cluster

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// upload sends a file to a command of a front, and reads the first object of the answer.
func (f *front) upload(ctx context.Context, command string, q url.Values, file io.Reader, first any) error {
	r, w := io.Pipe()
	parts := multipart.NewWriter(w)
	go func() {
		to, err := parts.CreateFormFile("file", "file")
		if err == nil {
			if _, err = io.Copy(to, file); err == nil {
				err = parts.Close()
			}
		}
		w.CloseWithError(err)
	}()
	defer r.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.server.HTTP+"/api/v0/"+command+"?"+q.Encode(), r)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", parts.FormDataContentType())
	req.Header.Set("Authorization", "Bearer "+f.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if text := res.Trailer.Get("X-Stream-Error"); res.StatusCode != http.StatusOK || text != "" {
		return fmt.Errorf("%s is answered %s: %s%s", command, res.Status, body, text)
	}
	return json.NewDecoder(bytes.NewReader(body)).Decode(first)
}

// What is uploaded to a front is in all its copies when the upload is answered: it is nowhere else. An
// upload that the front does not survive leaves nothing, at the front or in the pinset.
func TestFrontUploads(t *testing.T) {
	ctx := within(t, 8*time.Minute)
	w := newWorld(t, ctx, 3, peers.Options{Min: 1, Max: 1, PinTimeout: 2 * time.Minute})
	f := newFront(t, ctx, w, "HOLDFAST_CLUSTER_REPLICATION=2")
	var all []string
	for i, q := range []url.Values{
		{"cid-version": {"1"}, "chunker": {"size-4096"}},
		{"hash": {"blake2b-256"}, "raw-leaves": {"false"}},
	} {
		var added struct{ Hash string }
		check(t, f.upload(ctx, "add", q, rig.Random(uint64(11_000+i), 32<<20), &added))
		all = append(all, added.Hash)
	}
	// The CAR of a Kubo that is gone afterwards, with blocks under two codecs.
	whole := file(t, ctx, w.source, 11_100, 20_000)
	root := must(w.source.PutDAG(ctx, "dag-json", fmt.Sprintf(`{"below":{"/":%q}}`, whole)))(t)
	car := must(w.source.Export(ctx, root))(t)
	var imported struct {
		Root struct {
			Cid         map[string]string
			PinErrorMsg string
		}
	}
	check(t, f.upload(ctx, "dag/import", nil, car, &imported))
	car.Close()
	if imported.Root.Cid["/"] != root || imported.Root.PinErrorMsg != "" {
		t.Errorf("dag/import says %+v, want the root %s", imported, root)
	}
	all = append(all, root)
	w.source.Kill()
	for _, c := range all {
		if n := w.copies(ctx, c); n != 2 {
			t.Errorf("%s has %d copies", c, n)
		}
	}
	for _, s := range must(f.All(ctx))(t) {
		if s.Status != "pinned" || s.Info["blocks"] == "" || s.Info["blocks"] == "0" {
			t.Errorf("the request for %s is %s: %v", s.Pin.CID, s.Status, s.Info)
		}
	}
	f.isRight(t, ctx)

	// It dies with an upload of which a part has come.
	came, more := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- f.upload(ctx, "add", nil, came, new(any)) }()
	must(io.Copy(more, rig.Random(11_200, 24<<20)))(t)
	f.server.Kill()
	more.CloseWithError(io.ErrUnexpectedEOF) // the client waits for its body
	if err := <-ended; err == nil {
		t.Error("an upload to a front that died is answered")
	}
	f.start(t)
	if got := len(must(f.All(ctx))(t)); got != len(all) {
		t.Errorf("%d requests are there, want %d", got, len(all))
	}
	f.isRight(t, ctx)
	if got := len(must(w.Peers[0].Allocations(ctx))(t)); got != len(all) {
		t.Errorf("the pinset has %d pins, want %d", got, len(all))
	}
	eventually(t, ctx, "the front holds no block", func() bool {
		var is struct{ Live struct{ Blocks uint64 } }
		out, err := f.data.Run(ctx, nil, "store", "stats", "--json")
		return err == nil && json.Unmarshal([]byte(out), &is) == nil && is.Live.Blocks == 0
	})
}
