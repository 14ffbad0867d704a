package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// carOf is a [Staging] that writes so many bytes and then fails, unless err is nil.
type carOf struct {
	Staging
	bytes int
	err   error
}

func (c carOf) WriteCAR(_ context.Context, w io.Writer, _ cid.Cid, _ cid.Prefix) ([]cid.Prefix, error) {
	piece := make([]byte, 64<<10)
	for range c.bytes / len(piece) {
		if _, err := w.Write(piece); err != nil {
			return nil, err
		}
	}
	return nil, c.err
}

// What was not read to its end was not sent, whoever ended it; and a peer is not away because this
// server cannot read what it sends.
func TestUploadsThatAreNotSent(t *testing.T) {
	const much = 64 << 20 // far more than sockets hold
	unreadable := errors.New("the disk is gone")
	send := func(s Staging, h http.HandlerFunc) (*peer, error) {
		server := httptest.NewServer(h)
		defer server.Close()
		p := &peer{base: server.URL, http: server.Client(), log: slog.New(slog.DiscardHandler)}
		root := dagtest.Raw("root").Cid()
		return p, (&Engine{cfg: Config{Staging: s}}).send(t.Context(), p, root, new(pin.Progress))
	}
	answers := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	reads := func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			answers(http.StatusOK, "[]")(w, r)
		}
	}

	if _, err := send(carOf{bytes: much}, reads); err != nil {
		t.Errorf("a CAR that was read: %v", err)
	}
	if p, err := send(carOf{bytes: much}, answers(http.StatusOK, "[]")); err == nil {
		t.Errorf("a CAR that peer %s did not read counts as sent", p.base)
	}
	_, err := send(carOf{bytes: much}, answers(http.StatusInternalServerError, `{"code":500,"message":"no"}`))
	if _, refused := errors.AsType[*refusal](err); !refused {
		t.Errorf("a CAR that was refused: %v", err)
	}
	if p, err := send(carOf{bytes: much}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }); err == nil || p.answers() {
		t.Errorf("a connection that was cut: %v", err)
	}
	p, err := send(carOf{bytes: 1 << 20, err: unreadable}, reads)
	if _, ours := errors.AsType[*stagingError](err); !ours || !errors.Is(err, unreadable) || !p.answers() {
		t.Errorf("a CAR that could not be read here: %v; the peer answers: %v", err, p.answers())
	}
}
