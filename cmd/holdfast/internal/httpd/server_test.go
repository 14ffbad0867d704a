package httpd

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Requests whose bodies are not read, as uploads that wait for their turn, keep no other request of the
// same HTTP/2 connection from coming.
func TestBodiesThatWaitKeepNoOther(t *testing.T) {
	release := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Add(maxStreams - 1)
	server := httptest.NewUnstartedServer(nil)
	server.Config = NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/waits" {
			waiting.Done()
			<-release
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != 4<<20 || r.ProtoMajor != 2 {
			t.Errorf("of a body by %s came %d bytes, %v", r.Proto, n, err)
		}
	}), slog.New(slog.DiscardHandler))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	send := func(path string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, bytes.NewReader(make([]byte, 4<<20)))
		if err != nil {
			t.Error(err)
			return
		}
		res, err := server.Client().Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		res.Body.Close()
	}
	var all sync.WaitGroup
	all.Go(func() { send("/") }) // so that there is a connection for the others
	all.Wait()
	for range maxStreams - 1 {
		all.Go(func() { send("/waits") })
	}
	waiting.Wait()
	send("/")
	close(release)
	all.Wait()
}
