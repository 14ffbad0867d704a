package rpc

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ipfs/go-cidutil/cidenc"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/upload"
)

// A client of which nothing comes is told so.
func TestBodyThatStalls(t *testing.T) {
	b := &body{r: io.NopCloser(stalled{}), conn: http.NewResponseController(httptest.NewRecorder()), call: t.Context(), pace: new(pace)}
	_, err := b.Read(make([]byte, 1))
	var f *failure
	if !errors.As(sent(&upload.ReadError{Err: err}), &f) || f.status != http.StatusRequestTimeout || !strings.Contains(f.message, "less than 64 KiB of the body came") {
		t.Errorf("a body that stalls: %v", err)
	}
}

type stalled struct{}

func (stalled) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// An account has a limit of uploads.
func TestSoManyUploadsAtOnce(t *testing.T) {
	a := newAPI(Config{}, accountWays())
	who := callers{account: "alice", upload: true}
	for range maxUploads {
		if _, err := a.enter(who); err != nil {
			t.Fatal(err)
		}
	}
	_, err := a.enter(who)
	var f *failure
	if !errors.As(err, &f) || f.status != http.StatusTooManyRequests || f.retryAfter == 0 {
		t.Errorf("one upload more: %v", err)
	}
	if _, err := a.enter(callers{account: "alice"}); err != nil {
		t.Errorf("a command that is no upload: %v", err)
	}
}

// callOf is a call of an account's, with a body of one small file.
func callOf(t *testing.T, a *api, account string, v values) *call {
	contentType, body := form(part{name: "h", kind: aFile, content: "hello\n"})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return &call{
		api: a, ctx: t.Context(), account: account, values: v, cids: cidenc.Default(),
		out: newWriter(echo.New().NewContext(r, httptest.NewRecorder()), true),
	}
}

// What is only hashed takes its turn as well: it costs as much.
func TestOnlyHashTakesItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(Config{Profile: upload.Default}, accountWays())
		var ends []func()
		for range accountRuns {
			end, err := a.places.begin(t.Context(), "alice", new(pace), nil)
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, end)
		}
		done := make(chan error, 1)
		go func() { done <- add(callOf(t, a, "alice", values{"only-hash": "true"})) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("it does not wait: %v", err)
		default:
		}
		for _, end := range ends {
			end()
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(a.places.running)+len(a.places.waiting) != 0 {
			t.Errorf("%d uploads run, and %d wait", len(a.places.running), len(a.places.waiting))
		}
	})
}

// An upload is closed also if what works with it panics.
func TestUploadIsClosedAfterAPanic(t *testing.T) {
	w := &world{t: t}
	q := callOf(t, newAPI(Config{Upload: w.upload}, accountWays()), "alice", nil)
	func() {
		defer func() {
			if p := recover(); p != "broken" {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = q.upload(func(Upload) error { panic("broken") })
	}()
	if w.live != 0 || len(q.places.running) != 0 {
		t.Errorf("%d uploads are open, and %d run", w.live, len(q.places.running))
	}
	broken := errors.New("broken")
	if err := q.upload(func(Upload) error { return broken }); !errors.Is(err, broken) || w.live != 0 {
		t.Errorf("an upload that fails: %v, and %d are open", err, w.live)
	}
}
