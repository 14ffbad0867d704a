package psa

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// endless is a body of n bytes whose length net/http cannot know.
func endless(n int64) io.Reader {
	return io.LimitReader(repeat{}, n)
}

type repeat struct{}

func (repeat) Read(p []byte) (int, error) {
	return copy(p, bytes.Repeat([]byte{' '}, len(p))), nil
}

// A body that is too large is refused by its length, or where it goes over.
func TestLargeBodies(t *testing.T) {
	svc := &stub{view: view(pin.Queued)}
	s := newServer(t, svc)
	for _, tt := range []struct {
		size   int64 // of what precedes the Pin object
		status int
	}{
		{0, 202},
		{maxBody - int64(len(pinBody(cidV0))), 202},
		{maxBody - int64(len(pinBody(cidV0))) + 1, 413},
		{10 << 20, 413},
	} {
		for _, path := range []string{"/pins", "/pins/" + someID} {
			for _, known := range []bool{true, false} {
				t.Run(fmt.Sprint(tt.size, path, known), func(t *testing.T) {
					svc.calls = 0
					req := s.request("POST", path, "x")
					req.Body = io.NopCloser(io.MultiReader(endless(tt.size), strings.NewReader(pinBody(cidV0))))
					req.ContentLength = -1
					if known {
						req.ContentLength = tt.size + int64(len(pinBody(cidV0)))
					}
					r := s.do(req)
					if r.StatusCode != tt.status || (svc.calls == 1) != (tt.status == 202) {
						t.Fatalf("status %d, %d calls: %s", r.StatusCode, svc.calls, r.body)
					}
					if tt.status == 413 {
						r.wantFailure(t, 413, "REQUEST_ENTITY_TOO_LARGE", "1048576 bytes")
					}
				})
			}
		}
	}
}

// No body is read before the token has been checked.
func TestLargeBodyWithoutToken(t *testing.T) {
	s := newServer(t, &stub{})
	s.call("POST", "/pins", strings.Repeat(" ", 10<<20), "Authorization", "").wantFailure(t, 401, "UNAUTHORIZED", "")
}

func TestMediaTypes(t *testing.T) {
	s := newServer(t, &stub{view: view(pin.Queued)})
	for _, tt := range []struct {
		header, value string
		status        int
	}{
		{"Content-Type", "application/json", 202},
		{"Content-Type", "application/json; charset=utf-8", 202},
		{"Content-Type", `Application/JSON ; charset="UTF-8"`, 202},
		{"Content-Type", "", 415},
		{"Content-Type", "text/plain", 415},
		{"Content-Type", "application/json; charset=latin1", 415},
		{"Content-Type", "application/json;;;=", 415},
		{"Content-Type", "multipart/form-data; boundary=x", 415},
		{"Content-Type", strings.Repeat("x", 5000), 415},
		{"Content-Encoding", "identity", 202},
		{"Content-Encoding", "gzip", 415},
	} {
		for _, path := range []string{"/pins", "/pins/" + someID} {
			r := s.call("POST", path, pinBody(cidV0), tt.header, tt.value)
			if r.StatusCode != tt.status {
				t.Errorf("%s: %.60s: status %d", tt.header, tt.value, r.StatusCode)
			}
			if tt.status == 415 {
				r.wantFailure(t, 415, "UNSUPPORTED_MEDIA_TYPE", tt.header)
			}
		}
	}
}

// An empty body is not valid.
func TestEmptyBody(t *testing.T) {
	s := newServer(t, &stub{})
	s.call("POST", "/pins", "", "Content-Type", "application/json").wantFailure(t, 400, "BAD_REQUEST", "body: ")
}

// A body that ends early is the client's fault, even if the client still reads.
func TestCutBody(t *testing.T) {
	svc := &stub{}
	s := newServer(t, svc)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /api/psa/pins HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: 500\r\n\r\n%s", token, pinBody(cidV0))
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	// net/http may take the end for a hang-up before the body is looked at.
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) && !bytes.HasPrefix(answer, []byte("HTTP/1.1 499 ")) {
		t.Errorf("answer %q", answer)
	}
	if svc.calls != 0 || s.log.String() != "" {
		t.Errorf("%d calls, log %s", svc.calls, s.log)
	}
}

// The service gets what the client wrote.
func TestWhatTheServiceGets(t *testing.T) {
	svc := &stub{view: view(pin.Queued)}
	s := newServer(t, svc)
	body := `{"cid":"` + cidV1 + `","name":"n","origins":["` + origin + `"],"meta":{"k":"v"}}`
	for _, path := range []string{"/pins", "/pins/" + someID} {
		svc.spec = pin.Spec{}
		if r := s.call("POST", path, body); r.StatusCode != http.StatusAccepted {
			t.Fatalf("%d %s", r.StatusCode, r.body)
		}
		if got := svc.spec; got.CID != cidV1 || got.Name != "n" || len(got.Origins) != 1 || got.Meta["k"] != "v" || got.DAG() == "" {
			t.Errorf("%s: got %+v", path, got)
		}
	}
	s.call("GET", "/pins?limit=7&status=failed", "")
	if got := svc.query; got.Limit != 7 || len(got.Statuses) != 1 || got.Statuses[0] != pin.Failed {
		t.Errorf("query %+v", got)
	}
}
