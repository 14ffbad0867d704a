package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	accounts = 16
	clients  = 32
	shared   = 3000             // pins, if all accounts see the same ones
	own      = 1000             // pins of each account, if they do not
	duration = 10 * time.Second // of one measurement
)

// requests measures the APIs of Holdfast and of Cluster's own pinning service: how many requests each
// answers in a second, and within what time it answers 99 of 100.
//
// Both have 16 accounts and 32 clients with tokens. Nobody has the data of the pins, so only the API is
// measured, and what it keeps on disk. A list has 1,000 pins. Two things differ. Cluster's accounts all
// see the same 3,000 pins; ours have 1,000 pins each, 16,000 in all. Cluster does not wait for the disk
// before it answers; what Holdfast answered survives a power loss.
func (b *bench) requests(ctx context.Context) error {
	var of [2]measured
	for i, start := range []func(context.Context) (*service, error){
		b.startPinService,
		func(ctx context.Context) (*service, error) { return b.startHoldfast(ctx, nil) },
	} {
		s, err := start(ctx)
		if err != nil {
			return err
		}
		of[i], err = s.measure(ctx, b.say)
		if err = errors.Join(err, s.stop()); err != nil {
			return err
		}
	}
	for i, c := range of[0] {
		h := of[1][i]
		b.table.add(atLeast(row{part: "requests", what: c.name + "; beside: Cluster's pinning service", holdfast: h.text(), beside: c.text()}, h.rate/c.rate, 1))
	}
	return nil
}

// result is the result for one kind of request.
type result struct {
	name string
	rate float64 // requests per second
	p99  time.Duration
}

func (r result) text() string { return fmt.Sprintf("%.0f/s, p99 %s", r.rate, short(r.p99)) }

type measured [3]result

// measure fills a service with pins and then loads it with each kind of request.
func (s *service) measure(ctx context.Context, say func(string, ...any)) (m measured, err error) {
	ids, err := fill(ctx, s)
	if err != nil {
		return m, fmt.Errorf("fill %s: %w", s.addr, err)
	}
	say("%s: filled", s.addr)
	const everything = "?limit=1000&status=queued,pinning,pinned,failed"
	for i, kind := range []struct {
		name    string
		request func(client, n int) []byte
		check   func([]byte) error // of the first answer
	}{
		{"GET /pins/{id}", func(c, n int) []byte {
			own := ids[c%accounts]
			return s.request("GET", "/"+own[n%len(own)], c, nil)
		}, nil},
		{"GET /pins?limit=1000", func(c, _ int) []byte { return s.request("GET", everything, c, nil) }, checkList},
		{"POST /pins", s.post, nil},
	} {
		rate, p99, err := load(ctx, s.addr, kind.request, kind.check)
		if err != nil {
			return m, fmt.Errorf("%s at %s: %w", kind.name, s.addr, err)
		}
		m[i] = result{kind.name, rate, p99}
		say("%s: %s: %s", s.addr, kind.name, m[i].text())
	}
	return m, nil
}

// checkList checks that a list is complete: a service that answers less must not win.
func checkList(body []byte) error {
	var list struct {
		Count   int               `json:"count"`
		Results []json.RawMessage `json:"results"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("read the list: %w", err)
	}
	if len(list.Results) != 1000 {
		return fmt.Errorf("the list has %d pins, want 1000", len(list.Results))
	}
	return nil
}

// post is a request for a pin that nobody has.
func (s *service) post(client, _ int) []byte { return s.request("POST", "", client, newPin()) }

// newPin is the body of a request to pin a CID that nobody has.
func newPin() []byte {
	digest := make([]byte, 32)
	rand.Read(digest) // never fails
	cid := append([]byte{1, 0x55, 0x12, 32}, digest...)
	text := "b" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(cid))
	return fmt.Appendf(nil, `{"cid":%q,"name":"bench"}`, text)
}

// request makes one request of a client.
func (s *service) request(method, rest string, client int, body []byte) []byte {
	b := fmt.Appendf(nil, "%s %s%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n", method, s.path, rest, s.addr, s.tokens[client%accounts])
	if body != nil {
		b = fmt.Appendf(b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return append(append(b, "\r\n"...), body...)
}

// fill makes the pins for the lists, and returns their ids, by account.
func fill(ctx context.Context, s *service) (ids [accounts][]string, err error) {
	total := shared
	if s.own {
		total = own * accounts
	}
	var all sync.WaitGroup
	errs, made := make([]error, clients), make([][]string, clients)
	for i := range clients {
		all.Go(func() { made[i], errs[i] = fillFrom(ctx, s, i, (total+clients-1)/clients) })
	}
	all.Wait()
	for i, part := range made {
		ids[i%accounts] = append(ids[i%accounts], part...)
	}
	return ids, errors.Join(errs...)
}

// fillFrom makes n pins from one client.
func fillFrom(ctx context.Context, s *service, client, n int) (ids []string, err error) {
	c, err := dial(ctx, s.addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for len(ids) < n {
		body, err := c.do(s.request("POST", "", client, newPin()))
		// An account that makes more than 1,000 a second is told to wait.
		if refused, ok := errors.AsType[*statusError](err); ok && refused.status == http.StatusTooManyRequests {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		var made struct {
			ID string `json:"requestid"`
		}
		if err == nil {
			err = json.Unmarshal(body, &made)
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, made.ID)
	}
	return ids, nil
}

// load lets all clients make requests for the duration of a measurement.
func load(ctx context.Context, addr string, request func(client, n int) []byte, check func([]byte) error) (rate float64, p99 time.Duration, err error) {
	var all sync.WaitGroup
	var stop atomic.Bool
	took := make([][]time.Duration, clients)
	errs := make([]error, clients)
	began := time.Now()
	timer := time.AfterFunc(duration, func() { stop.Store(true) })
	defer timer.Stop()
	for i := range clients {
		all.Go(func() {
			c, err := dial(ctx, addr)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.Close()
			for n := 0; !stop.Load() && ctx.Err() == nil; n++ {
				r := request(i, n)
				start := time.Now()
				body, err := c.do(r)
				took[i] = append(took[i], time.Since(start))
				if err == nil && n == 0 && check != nil {
					err = check(body)
				}
				if err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	all.Wait()
	elapsed := time.Since(began)
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return 0, 0, err
	}
	times := slices.Concat(took...)
	return float64(len(times)) / elapsed.Seconds(), percentile99(times), nil
}

// conn is a connection that is kept alive, with a client that does as little as possible,
// because it shares the CPUs with the measured server.
type conn struct {
	net.Conn
	in *bufio.Reader
}

func dial(ctx context.Context, addr string) (*conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReaderSize(c, 64<<10)}, nil
}

type statusError struct {
	status int
	body   []byte
}

func (e *statusError) Error() string { return fmt.Sprintf("it answers %d: %.300s", e.status, e.body) }

// do makes a request and returns the body of the answer.
func (c *conn) do(request []byte) ([]byte, error) {
	// Longer than any answer takes, so that a service that hangs is an error.
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode/100 != 2 { // Cluster says 200 where the spec says 202
		return nil, &statusError{answer.StatusCode, body}
	}
	return body, nil
}
