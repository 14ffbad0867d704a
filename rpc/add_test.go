package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// added are the events of an answer, without how far files are.
func added(t *testing.T, a answer) (events []addEvent) {
	t.Helper()
	if a.status != http.StatusOK || a.header.Get(headerChunked) != "1" || a.trailer.Get(headerStreamError) != "" {
		t.Fatalf("answered %d %v %s, and behind it %q", a.status, a.header, a.body, a.trailer.Get(headerStreamError))
	}
	for dec := json.NewDecoder(bytes.NewReader(a.body)); ; {
		var e addEvent
		if err := dec.Decode(&e); err == io.EOF {
			return events
		} else if err != nil {
			t.Fatalf("%v in %s", err, a.body)
		}
		if e.Bytes == 0 && e.Hash != "" {
			events = append(events, e)
		}
	}
}

// names are what was pinned, as "CID name".
func (w *world) names(account string) (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.pins[account] {
		all = append(all, r.CID+" "+r.Name)
	}
	return all
}

const (
	helloCID = "QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN" // of "hello\n"
)

func TestAddFile(t *testing.T) {
	w := newWorld(t)
	w.pinAll()
	got := added(t, w.sendParts("alice", "add", "pin-name=greeting", part{name: "h.txt", kind: aFile, content: "hello\n", query: "mode=0644&mtime=1700000000"}))
	want := []addEvent{{Name: "h.txt", Hash: helloCID, Size: "14", Mode: "0644", Mtime: 1700000000}}
	if !slices.Equal(got, want) {
		t.Errorf("told %+v, want %+v", got, want)
	}
	if pins := w.names("alice"); !slices.Equal(pins, []string{helloCID + " greeting"}) {
		t.Errorf("pinned %q", pins)
	}
	// The same again is the same pin.
	added(t, w.sendParts("alice", "add", "pin-name=greeting", part{name: "x", kind: aFile, content: "hello\n"}))
	if pins := w.names("alice"); len(pins) != 1 {
		t.Errorf("pinned %q", pins)
	}
	if got := added(t, w.sendParts("bob", "add", "", part{kind: aFile, content: "hello\n"})); got[0].Name != helloCID {
		t.Errorf("a file without a name is called %q", got[0].Name)
	}
	if w.live != 0 {
		t.Errorf("%d uploads are left open", w.live)
	}
}

func TestAddTree(t *testing.T) {
	w := newWorld(t)
	w.pinAll()
	tree := []part{
		{name: "d", kind: aDir},
		{name: "d/a", kind: aFile, content: "hello\n"},
		{name: "d/l", kind: aSymlink, content: "a"},
		{name: "d/s", kind: aDir},
		{name: "d/s/b", kind: aFile, content: "b"},
		{name: "top", kind: aFile, content: "hello\n"},
	}
	got := added(t, w.sendParts("alice", "add", "", tree...))
	var names []string
	for _, e := range got {
		names = append(names, e.Name)
	}
	if want := []string{"d/a", "d/l", "d/s/b", "d/s", "d", "top"}; !slices.Equal(names, want) {
		t.Fatalf("told of %q, want %q", names, want)
	}
	if pins := w.names("alice"); !slices.Equal(pins, []string{got[4].Hash + " ", helloCID + " "}) {
		t.Errorf("pinned %q", pins)
	}
	wrapped := added(t, w.sendParts("bob", "add", "wrap-with-directory=true", tree...))
	last := wrapped[len(wrapped)-1]
	if pins := w.names("bob"); last.Name != "" || !slices.Equal(pins, []string{last.Hash + " "}) {
		t.Errorf("pinned %q for %+v", pins, last)
	}
	silent := added(t, w.sendParts("carol", "add", "silent=true", tree...))
	if len(silent) != 2 || silent[0].Name != "d/s" || silent[1].Name != "d" {
		t.Errorf("told silently %+v", silent)
	}
	if a := w.sendParts("alice", "add", "progress=true", tree...); !strings.Contains(string(a.body), `"Bytes":6`) {
		t.Errorf("told %s of how far it is", a.body)
	}
}

// Only to hash stores and pins nothing.
func TestAddOnlyHash(t *testing.T) {
	w := newWorld(t)
	w.onPut = func(int) error { return fmt.Errorf("something is put") }
	if got := added(t, w.sendParts("alice", "add", "only-hash=true&pin=false", part{name: "h", kind: aFile, content: "hello\n"})); got[0].Hash != helloCID {
		t.Errorf("hashed %+v", got)
	}
	if pins := w.names("alice"); len(pins) != 0 {
		t.Errorf("pinned %q", pins)
	}
}

// What is wrong with a call is told with its status, before anything is pinned.
func TestAddThatIsRefused(t *testing.T) {
	w := newWorld(t)
	w.pinAll()
	file := part{name: "h", kind: aFile, content: "hello\n"}
	for _, test := range []struct {
		query, part string
		parts       []part
	}{
		{"pin=false", "an account keeps what it has pinned", []part{file}},
		{"only-hash=true&pin-name=x", "pin-name option requires pin", []part{file}},
		{"to-files=/x", "no MFS", []part{file}},
		{"nocopy=true", "client's files", []part{file}},
		{"fast-provide-dag=true", "roots of pins", []part{file}},
		{"fast-provide-wait=true", "announced soon", []part{file}},
		{"chunker=fast", "unrecognized chunker", []part{file}},
		{"mtime-nsecs=5", "requires", []part{file}},
		{"mode=-1", "parameter \"mode\"", []part{file}},
		{"mode=4294967296", "parameter \"mode\"", []part{file}},
		{"mtime-nsecs=-1&mtime=1", "mtime-nsecs", []part{file}},
		{"cid-version=7", "cid-version", []part{file}},
		{"raw-leaves=maybe", "raw-leaves", []part{file}},
		{"what=ever", "not supported by add", []part{file}},
		{"pin-name=" + strings.Repeat("x", 256), "pin name is 256 characters", []part{file}},
		{"", "expected a file argument", nil},
		{"", "already has entry", []part{{name: "d", kind: aDir}, {name: "d/a", kind: aFile}, {name: "d/a", kind: aFile}}},
	} {
		a := w.sendParts("alice", "add", test.query, test.parts...)
		message := a.trailer.Get(headerStreamError)
		var e errorObject
		if a.status != http.StatusOK && json.Unmarshal(a.body, &e) == nil {
			message = e.Message
		}
		if !strings.Contains(message, test.part) || a.status != http.StatusBadRequest && len(test.parts) < 2 {
			t.Errorf("add?%s is answered %d %s, %q; want %q", test.query, a.status, a.body, message, test.part)
		}
	}
	w.refused("alice", "add", "", http.StatusBadRequest, "file argument 'path' is required")
	contentType, body := form(file)
	if a := w.send("alice", "add", "", contentType, bytes.NewReader(body[:len(body)-30])); a.status == http.StatusOK && a.trailer.Get(headerStreamError) == "" {
		t.Errorf("a body that is cut off is answered %d %s", a.status, a.body)
	}
	if a := w.send("alice", "add", "", "multipart/form-data", strings.NewReader("x")); a.status != http.StatusBadRequest {
		t.Errorf("a form without a boundary is answered %d %s", a.status, a.body)
	}
	if a := w.sendParts("alice looks", "add", "", file); a.status != http.StatusForbidden {
		t.Errorf("a token to look with adds: %d %s", a.status, a.body)
	}
	if pins := w.names("alice"); len(pins) != 0 {
		t.Errorf("pinned %q", pins)
	}
	if w.live != 0 {
		t.Errorf("%d uploads are left open", w.live)
	}
}

// Errors of the place and of the pin are told as what they are, and leave no request.
func TestAddThatFails(t *testing.T) {
	file := part{name: "h", kind: aFile, content: "hello\n"}
	for _, test := range []struct {
		err    error
		status int
	}{
		{pin.ErrDiskFull, http.StatusInsufficientStorage},
		{&pin.QuotaError{Used: 1, Asked: 2, Limit: 2}, http.StatusConflict},
		{fmt.Errorf("block x: %w", pin.ErrDenied), http.StatusUnavailableForLegalReasons},
		{pin.Refused("it is too large"), http.StatusBadRequest},
		{pin.ErrClosed, http.StatusServiceUnavailable},
	} {
		w := newWorld(t)
		w.onPut = func(int) error { return test.err }
		if a := w.sendParts("alice", "add", "", file); a.status != test.status {
			t.Errorf("%v is answered %d %s, want %d", test.err, a.status, a.body, test.status)
		}
		w.onPut = nil
		w.refuse = test.err
		if a := w.sendParts("alice", "add", "", file); a.status != test.status {
			t.Errorf("%v at the beginning is answered %d %s, want %d", test.err, a.status, a.body, test.status)
		}
		if pins := w.names("alice"); len(pins) != 0 || w.live != 0 {
			t.Errorf("%v leaves %q, and %d uploads", test.err, pins, w.live)
		}
	}
	w := newWorld(t)
	w.onGet = func(v *pin.View) { v.Status, v.Details = pin.Failed, "over quota" }
	if a := w.sendParts("alice", "add", "", file); a.status != http.StatusBadRequest || !strings.Contains(string(a.body), "over quota") {
		t.Errorf("a pin that fails is answered %d %s", a.status, a.body)
	}
	if pins := w.names("alice"); len(pins) != 0 {
		t.Errorf("a pin that failed leaves %q", pins)
	}
}

// The answer begins while the body is still being sent, and an error in the middle is told
// to a client that reads and sends at the same time.
func TestProgressWhileTheBodyIsRead(t *testing.T) {
	w := newWorld(t)
	w.pinAll()
	contentType, whole := form(part{name: "big", kind: aFile, content: strings.Repeat("x", 2<<20)})
	half := len(whole) / 2
	r, body := io.Pipe()
	go func() { _, _ = body.Write(whole[:half]) }()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"add?progress=true", r)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Authorization", "Bearer alice")
	res, err := http.DefaultClient.Do(request) // it returns with the header of the answer
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var e addEvent
	dec := json.NewDecoder(res.Body)
	if err := dec.Decode(&e); err != nil || e.Bytes == 0 || e.Name != "big" {
		t.Fatalf("%+v, %v", e, err)
	}
	_, err = body.Write(whole[half:])
	if err != nil || body.Close() != nil {
		t.Fatal(err)
	}
	for err == nil {
		err = dec.Decode(&e)
	}
	if err != io.EOF || e.Hash == "" {
		t.Errorf("the last is %+v, %v", e, err)
	}
}
