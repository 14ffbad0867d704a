package rpc

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/internal/pipe"
)

// In HTTP/2 a deadline that passes ends its stream, also while nobody reads or writes. So there is one only
// while the server waits for its client: it may be busy for any time, and so may the client.
func TestHTTP2MayPause(t *testing.T) {
	const pause = 5 * time.Minute
	for name, test := range map[string]struct {
		server time.Duration // what the server takes for the second file
		client time.Duration // what the client takes for it
	}{
		"the server is busy": {server: pause},
		"the client is slow": {client: pause},
	} {
		for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
			w := newWorld(t)
			w.pinAll()
			synctest.Test(t, func(t *testing.T) {
				w.onPut = func(blocks int) error {
					if blocks == 2 {
						time.Sleep(test.server)
					}
					return nil
				}
				server, newClient := w.serveHTTP(t, version)
				defer server.Close()
				client := newClient()
				defer client.CloseIdleConnections()
				body, to := io.Pipe()
				over := make(chan struct{})
				defer func() {
					body.Close()
					<-over
				}()
				contentType, whole := form(part{name: "1", kind: aFile, content: "x"}, part{name: "2", kind: aFile, content: strings.Repeat("y", 2_000_000)}, part{name: "3", kind: aFile, content: "z"})
				go func() {
					defer close(over)
					const pieces = 20
					half := len(whole) / 2
					if _, err := to.Write(whole[:half]); err != nil {
						return
					}
					for i := range pieces { // faster than is asked for
						time.Sleep(test.client / pieces)
						if _, err := to.Write(whole[half+(len(whole)-half)*i/pieces : half+(len(whole)-half)*(i+1)/pieces]); err != nil {
							return
						}
					}
					to.Close()
				}()
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://within/api/v0/add", body)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer alice")
				r.Header.Set("Content-Type", contentType)
				start := time.Now()
				res, err := client.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				lines := 0
				for in := bufio.NewScanner(res.Body); ; lines++ {
					if !in.Scan() {
						err = in.Err()
						break
					}
				}
				if err != nil || lines != 3 || res.Proto != version || res.Trailer.Get(headerStreamError) != "" || time.Since(start) < pause {
					t.Errorf("by %s, when %s, %d lines come after %v, with the trailer %v, %v", res.Proto, name, lines, time.Since(start), res.Trailer, err)
				}
			})
		}
	}
}

// serveHTTP serves one version of HTTP, with times of its own, as the program does. The caller closes the server,
// and the idle connections of clients.
func (w *world) serveHTTP(t *testing.T, version string) (server *http.Server, newClient func() *http.Transport) {
	t.Helper()
	e := echo.New()
	if err := Register(e.Group("/api/v0"), w.config()); err != nil {
		t.Fatal(err)
	}
	l := pipe.New()
	var versions http.Protocols
	versions.SetHTTP1(version == "HTTP/1.1")
	versions.SetUnencryptedHTTP2(version == "HTTP/2.0")
	server = &http.Server{Handler: e, Protocols: &versions, ReadTimeout: time.Minute, WriteTimeout: 10 * time.Minute}
	go server.Serve(l)
	return server, func() *http.Transport { return &http.Transport{DialContext: l.Dial, Protocols: &versions} }
}
