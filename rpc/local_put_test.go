package rpc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const clusterPut = "allow-big-block=true&cid-codec=dag-pb&mhlen=32&mhtype=sha2-256&pin=false"

// farAway is later than anything.
var farAway = time.Now().Add(1000 * time.Hour)

// await waits until something is so.
func await(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to that in 30 s")
		}
		time.Sleep(time.Millisecond)
	}
}

// All blocks of a stream have the codec of the first, whatever they are.
func TestLocalBlockPut(t *testing.T) {
	w := newLocalWorld(t)
	node := w.dir(entry{"f", w.file([]byte("x"))})
	leaf := "a leaf, which is no node of dag-pb"
	a := w.sendParts("", "block/put", clusterPut, part{name: "a", kind: aFile, content: string(node.RawData())}, part{name: "b", kind: aFile, content: leaf})
	sum, err := cid.V1Builder{Codec: cid.DagProtobuf, MhType: 0x12}.Sum([]byte(leaf))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("{\"Key\":%q,\"Size\":%d}\n{\"Key\":%q,\"Size\":%d}\n", node.Cid(), len(node.RawData()), sum, len(leaf))
	if a.status != http.StatusOK || string(a.body) != want {
		t.Errorf("block/put answers %d %s, want %s", a.status, a.body, want)
	}
	if w.kept != 1 || w.live != 0 || len(w.requests(me)) != 0 {
		t.Errorf("%d uploads were kept, %d are open, and the account has %q", w.kept, w.live, w.requests(me))
	}
	if got := w.good("", "block/get", arg(cid.NewCidV1(cid.Raw, sum.Hash()))); string(got) != leaf {
		t.Errorf("the block is %q", got)
	}
}

// No byte of the answer comes before the last byte of the body. A client that does not read until
// then would hang otherwise, as would a server that waits for it.
func TestLocalBlockPutAnswersAtTheEnd(t *testing.T) {
	w := newLocalWorld(t)
	for _, fails := range []bool{false, true} {
		w.onPut = func(int) error {
			if fails {
				return pin.ErrDiskFull
			}
			return nil
		}
		var parts []part
		for i := range 20_000 { // whose answers fill more than the memory for them
			parts = append(parts, part{name: fmt.Sprint(i), kind: aFile, content: fmt.Sprintf("block %d", i)})
		}
		contentType, body := form(parts...)
		res := httptest.NewRecorder()
		early := false
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v0/block/put?"+clusterPut, io.MultiReader(
			bytes.NewReader(body), ending(func() { early = res.Flushed || res.Body.Len() > 0 })))
		r.Host = "127.0.0.1"
		r.Header.Set("Content-Type", contentType)
		w.router.ServeHTTP(res, r)
		if early {
			t.Error("the answer begins before the body ends")
		}
		got := res.Body.Bytes()
		switch {
		case fails && (res.Code != http.StatusInternalServerError || !strings.Contains(string(got), "too full")):
			t.Errorf("it answers %d %.200s", res.Code, got)
		case !fails && (res.Code != http.StatusOK || bytes.Count(got, []byte("\n")) != len(parts)):
			t.Errorf("it answers %d, %d lines", res.Code, bytes.Count(got, []byte("\n")))
		}
	}
}

// ending is called at the end of a body.
type ending func()

func (e ending) Read([]byte) (int, error) {
	e()
	return 0, io.EOF
}

func TestLocalBlockPutIsRefused(t *testing.T) {
	w := newLocalWorld(t)
	w.refused("", "block/put", clusterPut, http.StatusBadRequest, "file argument 'data' is required")
	contentType, body := form(part{name: "a", kind: aFile, content: "cut off"})
	pr, pw := io.Pipe()
	go func() {
		_, _ = pw.Write(body[:len(body)-20])
		_ = pw.CloseWithError(errors.New("the client ends"))
	}()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"block/put?"+clusterPut, pr)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	if res, err := http.DefaultClient.Do(r); err == nil {
		res.Body.Close()
		t.Errorf("a body that is cut off is answered %d", res.StatusCode)
	}
	await(t, func() bool {
		w.world.mu.Lock()
		defer w.world.mu.Unlock()
		return w.live == 0
	})
	if w.kept != 0 {
		t.Error("what was cut off is kept")
	}
}
