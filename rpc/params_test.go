package rpc

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// A parameter is heeded or refused, whatever the command.
func TestParameters(t *testing.T) {
	w := newWorld(t)
	file := w.file(numbered(2500))
	w.pin("alice", file.Cid(), pin.Pinned)
	f := arg(file.Cid())
	for query, part := range map[string]string{
		f + "&nonsense=1":                     `parameter "nonsense" is not supported by cat`,
		f + "&Offset=1":                       `parameter "Offset" is not supported by cat`,
		f + "&archive=true":                   `parameter "archive" is not supported by cat`,
		f + "&encoding=text":                  `"encoding" is supported as "json" only`,
		f + "&offline=false":                  "nothing is fetched here",
		f + "&offset=x":                       `parameter "offset"`,
		f + "&offset=99999999999999999999999": `parameter "offset"`,
		f + "&offset=1&offset=2":              "more than once",
		f + "&offset=1&o=2":                   "more than once",
		f + "&progress=maybe":                 `parameter "progress"`,
		f + "&timeout=soon":                   `parameter "timeout"`,
		f + "&cid-base=nonsense":              `parameter "cid-base"`,
		f + "&%zz":                            "query",
		"":                                    `argument "ipfs-path" is required`,
		strings.Repeat(f+"&", maxArgs+1):      "100 arguments at most",
		arg("x"):                              "invalid path",
		arg(""):                               "invalid path",
		arg("/ipns/example.org"):              "names are not resolved here",
		arg("/ipfs/" + strings.Repeat("z", 5000)):                        "too long",
		arg(strings.Repeat("a", 9000)):                                   "longer than",
		arg("/ipfs/" + file.Cid().String() + strings.Repeat("/a", 4000)): "",
	} {
		w.refused("alice", "cat", query, http.StatusBadRequest, part)
	}
	for _, command := range []string{"id", "version"} {
		w.refused("alice", command, "nonsense=1", http.StatusBadRequest, "is not supported by "+command)
		w.refused("alice", command, f, http.StatusBadRequest, "0 arguments at most")
	}
	w.refused("alice", "id", "peerid-base=base36", http.StatusBadRequest, "peerid-base")
	w.refused("alice", "dag/export", f+"&"+f, http.StatusBadRequest, "1 arguments at most")
	w.refused("alice", "cat", f+"&timeout=1ns", http.StatusBadRequest, "deadline exceeded")
	w.refused("alice", "files/ls", "", http.StatusNotFound, "there is no such command")

	r, err := http.NewRequest(http.MethodPost, w.url+"cat?"+f, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer alice")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusBadRequest || !strings.Contains(string(b), "takes no body") {
		t.Errorf("a body is answered %d %s, %v", res.StatusCode, b, err)
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete} {
		r, err := http.NewRequest(method, w.url+"dag/export?"+f, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer alice")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "OPTIONS, POST" {
			t.Errorf("%s is answered %d, %v", method, res.StatusCode, res.Header)
		}
	}
}

func TestIdAndVersion(t *testing.T) {
	w := newWorld(t)
	var id struct {
		ID, PublicKey, AgentVersion string
		Addresses, Protocols        []string
	}
	if err := json.Unmarshal(w.good("alice", "id", "format=x"), &id); err != nil || id.ID == "" || id.AgentVersion != "holdfast/v1.2.3" || len(id.Addresses) != 1 || id.Protocols == nil {
		t.Errorf("id is %+v, %v", id, err)
	}
	a := w.ask("alice", "version", "encoding=json&stream-channels=true&number=true")
	var v struct{ Version, Commit, Repo, System, Golang string }
	if err := json.Unmarshal(a.body, &v); err != nil || v.Version != kuboVersion || v.Commit != "holdfast-v1.2.3" || v.Repo == "" || v.System == "" || v.Golang == "" ||
		!strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Errorf("version is %+v, %v", v, err)
	}
}

// An account has so many commands under way; others have theirs.
func TestSoManyCallsAtOnce(t *testing.T) {
	w := newWorld(t)
	file := w.file([]byte("x"))
	w.pin("alice", file.Cid(), pin.Pinned)
	w.pin("bob", file.Cid(), pin.Pinned)
	reading, go_ := make(chan struct{}), make(chan struct{})
	w.blocks.set(func(cid.Cid) error {
		reading <- struct{}{}
		<-go_
		return nil
	})
	var all sync.WaitGroup
	for range maxCalls {
		all.Go(func() { w.good("alice", "cat", arg(file.Cid())) })
	}
	for range maxCalls {
		<-reading
	}
	w.blocks.set(nil)
	w.refused("alice", "cat", arg(file.Cid()), http.StatusTooManyRequests, "as many as may be")
	w.good("bob", "cat", arg(file.Cid()))
	close(go_)
	all.Wait()
	w.good("alice", "cat", arg(file.Cid()))
}

// What the server gives a request in all is not what an answer may take, as long as it
// moves.
func TestAnswersTakeTheirTime(t *testing.T) {
	const short = 50 * time.Millisecond
	w := newWorld(t, func(s *http.Server) { s.ReadTimeout, s.WriteTimeout = short, short })
	data := numbered(900_000)
	file := w.file(data)
	w.pin("alice", file.Cid(), pin.Pinned)
	last := file
	for len(last.Links()) > 0 {
		nd, err := w.dag.Get(t.Context(), last.Links()[len(last.Links())-1].Cid)
		if err != nil {
			t.Fatal(err)
		}
		last = nd
	}
	var once sync.Once
	w.blocks.set(func(c cid.Cid) error {
		if !c.Equals(last.Cid()) {
			return nil
		}
		once.Do(func() {
			// Another request, which begins now, runs out of time before this goes on.
			conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "POST /api/v0/cat HTTP/1.1\r\n"); err != nil {
				t.Error(err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Error(err)
			}
		})
		return nil
	})
	if got := w.good("alice", "cat", arg(file.Cid())); string(got) != string(data) {
		t.Errorf("%d bytes came", len(got))
	}
}

// deadlines is an answer that notes until when each piece must be taken.
type deadlines struct {
	*httptest.ResponseRecorder
	until []time.Time
	sizes []int
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.until = append(d.until, t)
	return nil
}

func (d *deadlines) Write(p []byte) (int, error) {
	d.sizes = append(d.sizes, len(p))
	return d.ResponseRecorder.Write(p)
}

// A client that stops reading has stallTimeout for each piece, and no more.
func TestEachPieceHasItsTime(t *testing.T) {
	d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	c := echo.New().NewContext(httptest.NewRequest(http.MethodPost, "/", nil), d)
	before := time.Now()
	if _, err := newWriter(c, true).Write(make([]byte, 3*writePiece+1)); err != nil {
		t.Fatal(err)
	}
	if len(d.sizes) != 4 || len(d.until) != 5 || d.sizes[0] != writePiece || d.sizes[3] != 1 || !d.until[4].IsZero() {
		t.Fatalf("pieces of %v were written, with the deadlines %v", d.sizes, d.until)
	}
	for _, until := range d.until[:4] {
		if until.Before(before.Add(stallTimeout)) || until.After(time.Now().Add(stallTimeout)) {
			t.Errorf("a piece has time until %v", until)
		}
	}
}

// Before and behind each piece there is no deadline: a pin may take hours. The end has one.
func TestWaitingHasNoDeadline(t *testing.T) {
	w := newWorld(t)
	d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest(http.MethodPost, "/api/v0/version", nil)
	r.Header.Set("Authorization", "Bearer alice")
	w.server.Config.Handler.ServeHTTP(d, r)
	if d.Code != http.StatusOK || len(d.until) != 4 || !d.until[0].IsZero() || d.until[1].IsZero() || !d.until[2].IsZero() || d.until[3].IsZero() {
		t.Errorf("it is answered %d, with the deadlines %v", d.Code, d.until)
	}
}
