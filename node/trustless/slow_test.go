package trustless

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// roundTrip is a transport without a network, for tests with a clock of their
// own.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// drip is a body of which a byte comes now and then.
type drip struct {
	ctx   context.Context
	every time.Duration
	n     int // how many bytes there are
	gone  int // after how many it goes silent; 0 is never
}

func (d *drip) Read(p []byte) (int, error) {
	if d.n == 0 {
		return 0, io.EOF
	}
	var next <-chan time.Time
	if d.gone == 0 || d.n > d.gone {
		next = time.After(d.every)
	}
	select {
	case <-next:
		d.n--
		p[0] = 'x'
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (d *drip) Close() error { return nil }

// However slow a gateway is, it is given up in time.
func TestSlow(t *testing.T) {
	answer := func(r *http.Request, d *drip) (*http.Response, error) {
		d.ctx = r.Context()
		return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Body: d, Request: r}, nil
	}
	for name, c := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		most   time.Duration
		ok     bool
	}{
		"no answer": {func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }, stallTimeout, false},
		"no body": {func(r *http.Request) (*http.Response, error) {
			return answer(r, &drip{n: 10, gone: 10})
		}, stallTimeout, false},
		"half a body": {func(r *http.Request) (*http.Response, error) {
			return answer(r, &drip{every: time.Second, n: 10, gone: 5})
		}, 5*time.Second + stallTimeout, false},
		"a byte a second, without end": {func(r *http.Request) (*http.Response, error) {
			return answer(r, &drip{every: time.Second, n: 1 << 30})
		}, 74 * time.Second, false},
		"a byte a second, of a few": {func(r *http.Request) (*http.Response, error) {
			return answer(r, &drip{every: 9 * time.Second, n: 4})
		}, 36 * time.Second, true},
		"an error of which nothing comes": {func(r *http.Request) (*http.Response, error) {
			a, err := answer(r, &drip{n: 10, gone: 10})
			a.StatusCode = 404
			return a, err
		}, stallTimeout, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl := New(Config{Transport: roundTrip(c.answer)})
				began := time.Now()
				_, err := cl.Block(t.Context(), at(t, "http://example.com"), block("xxxx").Cid())
				if took := time.Since(began); took > c.most {
					t.Errorf("it took %v, want %v at most", took, c.most)
				}
				_, unreachable := errors.AsType[*UnreachableError](err)
				if c.ok != (err == nil) || err != nil && !unreachable && !errors.Is(err, ErrNotFound) {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}
