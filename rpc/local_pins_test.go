package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// ipfs-cluster looks for these two texts, behind any status but 200.
func TestLocalTextsOfWhatIsNotPinned(t *testing.T) {
	w := newLocalWorld(t)
	c := w.dir().Cid()
	w.failed("pin/rm", arg(c), http.StatusInternalServerError, "not pinned or pinned indirectly")
	for _, kind := range []string{"recursive", "direct", "all"} {
		a := w.ask("", "pin/ls", "stream=true&type="+kind+"&"+arg(c))
		var e errorObject
		if err := json.Unmarshal(a.body, &e); err != nil || a.status != http.StatusInternalServerError || !strings.HasSuffix(e.Message, "not pinned") {
			t.Errorf("pin/ls of what is not pinned answers %d %s", a.status, a.body)
		}
	}
	w.pin(me, c, pin.Pinning)
	if a := w.ask("", "pin/ls", "stream=true&type=recursive&"+arg(c)); a.status != http.StatusInternalServerError {
		t.Errorf("pin/ls of what is being pinned answers %d %s", a.status, a.body)
	}
	w.repairs = true // it was pinned, and is again
	if got := string(w.good("", "pin/ls", "stream=true&type=recursive&"+arg(c))); !strings.Contains(got, `"Type":"recursive"`) {
		t.Errorf("pin/ls of what is mended answers %s", got)
	}
}

// Versions 0 and 1 of a CID are two pins, listed as they were written.
func TestLocalPinsAreOfCIDsAsWritten(t *testing.T) {
	w := newLocalWorld(t)
	w.onGet = becomes(pin.Pinned, "")
	v1 := w.dir().Cid()
	v0 := cid.NewCidV0(v1.Hash())
	for _, c := range []cid.Cid{v0, v1} {
		for range 2 {
			if got := string(w.good("", "pin/add", arg(c)+"&recursive=true&progress=true")); !strings.HasSuffix(got, fmt.Sprintf("{\"Pins\":[%q]}\n", c)) {
				t.Errorf("pin/add answers %s", got)
			}
		}
	}
	want := fmt.Sprintf(`{"Cid":%q,"Type":"recursive","Blocks":3,"Bytes":300}`+"\n"+`{"Cid":%q,"Type":"recursive","Blocks":3,"Bytes":300}`+"\n", v1, v0)
	if got := string(w.good("", "pin/ls", "stream=true&type=recursive")); got != want {
		t.Errorf("pin/ls lists %s, want %s", got, want)
	}
	w.good("", "pin/rm", arg(v1))
	w.failed("pin/rm", arg(v1), http.StatusInternalServerError, "not pinned or pinned indirectly")
	if got := string(w.good("", "pin/ls", "type=recursive")); got != fmt.Sprintf(`{"Keys":{%q:{"Type":"recursive","Blocks":3,"Bytes":300}}}`+"\n", v0) {
		t.Errorf("pin/ls lists %s", got)
	}
	if fmt.Sprint(w.lingers) != fmt.Sprint([]string{v1.String()}) {
		t.Errorf("%v lingers", w.lingers)
	}
}

// What is asked for by name is answered in one packet: a cluster asks for each pin several times.
func TestLocalPinLsInOnePacket(t *testing.T) {
	w := newLocalWorld(t)
	w.onGet = becomes(pin.Pinned, "")
	c := w.dir().Cid()
	w.good("", "pin/add", arg(c))
	for query, flushed := range map[string]bool{"&" + arg(c): false, "": true} {
		res := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v0/pin/ls?stream=true&type=recursive"+query, nil)
		r.Host = "127.0.0.1"
		w.router.ServeHTTP(res, r)
		if res.Code != http.StatusOK || !strings.Contains(res.Body.String(), c.String()) || res.Flushed != flushed {
			t.Errorf("pin/ls?%s answers %d %s, sent before its end: %v", query, res.Code, res.Body, res.Flushed)
		}
	}
}

func TestLocalDirectPins(t *testing.T) {
	w := newLocalWorld(t)
	w.onGet = becomes(pin.Pinned, "")
	c := cid.NewCidV0(w.dir().Cid().Hash())
	w.good("", "pin/add", arg(c)+"&recursive=false&progress=true")
	if r := w.pins[me][0]; r.Root.Type() != cid.Raw || !bytes.Equal(r.Root.Hash(), c.Hash()) {
		t.Errorf("the block alone is pinned as %s", r.Root)
	}
	want := fmt.Sprintf("{\"Cid\":%q,\"Type\":\"direct\",\"Blocks\":3,\"Bytes\":300}\n", c)
	for _, query := range []string{"type=direct&" + arg(c), "type=direct", "type=all&" + arg(c)} {
		if got := string(w.good("", "pin/ls", "stream=true&"+query)); got != want {
			t.Errorf("pin/ls?%s lists %s", query, got)
		}
	}
	if got := w.good("", "pin/ls", "stream=true&type=recursive"); len(got) != 0 {
		t.Errorf("it is listed as recursive: %s", got)
	}
	// A recursive pin takes its place, and no direct one takes that of a recursive one.
	w.good("", "pin/add", arg(c))
	if got := w.good("", "pin/ls", "stream=true&type=direct"); len(got) != 0 {
		t.Errorf("it is still listed as direct: %s", got)
	}
	w.failed("pin/add", arg(c)+"&recursive=false", http.StatusInternalServerError, "pin: "+c.String()+" already pinned recursively")
	// Of bytes alone both are the same block.
	leaf := w.file([]byte("a leaf")).Cid()
	for _, kind := range []string{"false", "true"} {
		w.good("", "pin/add", arg(leaf)+"&recursive="+kind)
	}
	if got := string(w.good("", "pin/ls", "stream=true&type=recursive&"+arg(leaf))); !strings.Contains(got, leaf.String()) {
		t.Errorf("what was pinned directly before is listed as %s", got)
	}
	w.failed("pin/add", arg(cid.NewCidV1(cid.DagProtobuf, leaf.Hash()))+"&recursive=false", http.StatusInternalServerError,
		fmt.Sprintf("pin: the block of %s is pinned as %s already", cid.NewCidV1(cid.DagProtobuf, leaf.Hash()), leaf))
	w.failed("pin/add", arg(c)+"&recursive=true&max-depth=1", http.StatusInternalServerError,
		"max-depth is not supported: a pin is of a block, or of all that is below it")
}

// A failure before the first byte has a status. One behind it cuts the answer off, and the next
// pin/add tells it. The one after that tries again.
func TestLocalFailureIsNeverLost(t *testing.T) {
	w := newLocalWorld(t)
	c := w.dir().Cid()
	query := arg(c) + "&recursive=true&progress=true"
	w.onGet = becomes(pin.Failed, "over a limit")
	w.failed("pin/add", query, http.StatusInternalServerError, "pin: over a limit")
	if got := w.requests(me); len(got) != 0 {
		t.Errorf("what failed and was told is still there: %q", got)
	}
	w.onGet = func(v *pin.View) { v.Info = map[string]string{"blocks": "5", "bytes": "50"} }
	res, err := http.Post(w.url+"pin/add?"+query, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	dec := json.NewDecoder(res.Body)
	var first addedPins
	if err := dec.Decode(&first); err != nil || first.Progress != 5 || first.Bytes != 50 || res.StatusCode != http.StatusOK {
		t.Fatalf("%d %+v, %v", res.StatusCode, first, err)
	}
	w.set(becomes(pin.Failed, "over a limit"))
	w.change <- pin.Change{}
	for err == nil {
		var more addedPins
		if err = dec.Decode(&more); len(more.Pins) > 0 {
			t.Errorf("it claims to have pinned %v", more.Pins)
		}
	}
	if errors.Is(err, io.EOF) || res.Trailer.Get(headerStreamError) != "" {
		t.Errorf("the answer ends with %v and %v, and is to be cut off", err, res.Trailer)
	}
	w.failed("pin/add", query, http.StatusInternalServerError, "pin: over a limit")
	w.set(becomes(pin.Pinned, ""))
	w.good("", "pin/add", query)
}

// A call that is told of its request that it is pinned does not read it again.
func TestLocalPinAddIsTold(t *testing.T) {
	w := newLocalWorld(t)
	c := w.rootOf("x")
	w.pin(me, c, pin.Queued)
	id := w.pins[me][0].ID
	w.set(func(*pin.View) { t.Error("it reads the request") })
	w.change <- pin.Change{Account: me, ID: id, Totals: pin.Totals{Blocks: 3, Bytes: 300}}
	if got := string(w.good("", "pin/add", "progress=true&"+arg(c))); !strings.Contains(got, `"Progress":3,"Bytes":300`) || !strings.Contains(got, c.String()) {
		t.Errorf("it answers %s", got)
	}
	for len(w.change) > 0 {
		<-w.change
	}
	reads := 0
	w.change <- pin.Change{Account: me, ID: "another"}
	w.set(func(v *pin.View) { reads++; v.Status = pin.Pinned })
	if w.good("", "pin/add", arg(c)); reads == 0 {
		t.Error("told of another request, it takes its own for pinned")
	}
}

func (w *localWorld) set(onGet func(*pin.View)) {
	w.world.mu.Lock()
	defer w.world.mu.Unlock()
	w.onGet = onGet
}

// What refuses a pin at once is told by its status, in Kubo's way, and leaves nothing.
func TestLocalRefusals(t *testing.T) {
	w := newLocalWorld(t)
	query := arg(w.dir().Cid()) + "&recursive=true&progress=true"
	for err, part := range map[error]string{
		pin.ErrDenied:   "denylist",
		pin.ErrDiskFull: "too full",
		&pin.QuotaError{Pins: true, Used: 3, Limit: 3}: "quota of pins",
		pin.ErrTooFast: "slow down",
	} {
		w.refuse = err
		a := w.ask("", "pin/add", query)
		if want := kuboStatus(failureOf(t.Context(), t.Context(), err)); a.status != want || !strings.Contains(string(a.body), part) {
			t.Errorf("%v is answered %d %s, want %d %q", err, a.status, a.body, want, part)
		}
	}
	if len(w.requests(me)) != 0 {
		t.Errorf("the account has %q", w.requests(me))
	}
}

// Calls that wait end when the server stops, with a status.
func TestLocalStops(t *testing.T) {
	w := newLocalWorld(t)
	query := arg(w.dir().Cid()) + "&recursive=true&progress=true"
	answered := make(chan answer, 1)
	go func() { answered <- w.ask("", "pin/add", query) }()
	<-w.followed
	w.stopping.Store(true)
	if a := <-answered; a.status != http.StatusInternalServerError || !strings.Contains(string(a.body), "shutting down") {
		t.Errorf("it answers %d %s", a.status, a.body)
	}
	w.refused("", "id", "", http.StatusInternalServerError, "shutting down")
}

// Another name leaves all else of a request as it is.
func TestLocalPinGetsAName(t *testing.T) {
	w := newLocalWorld(t)
	w.onGet = becomes(pin.Pinned, "")
	c := w.dir().Cid()
	w.pin(me, c, pin.Pinned)
	w.pins[me][0].Meta = map[string]string{"by": "somebody"}
	w.good("", "pin/add", arg(c)+"&name=new")
	if r := w.pins[me][0]; r.Name != "new" || r.Meta["by"] != "somebody" {
		t.Errorf("it is %q with %v", r.Name, r.Meta)
	}
	alone := w.file([]byte("of a file")).Cid()
	alone = cid.NewCidV1(cid.DagProtobuf, alone.Hash())
	w.good("", "pin/add", arg(alone)+"&recursive=false")
	w.good("", "pin/add", arg(alone)+"&recursive=false&name=other")
	if r := w.pins[me][1]; r.Name != "other" || r.Meta[metaDirect] != alone.String() {
		t.Errorf("the direct pin is %q with %v", r.Name, r.Meta)
	}
}

// pin/update pins one and unpins the other if it is to.
func TestLocalPinUpdate(t *testing.T) {
	w := newLocalWorld(t)
	w.onGet = becomes(pin.Pinned, "")
	from, to, third := w.file([]byte("1")).Cid(), w.file([]byte("2")).Cid(), w.file([]byte("3")).Cid()
	w.failed("pin/update", arg(from)+"&"+arg(to)+"&unpin=false", http.StatusInternalServerError, "'from' cid was not recursively pinned already")
	w.good("", "pin/add", arg(from))
	if got := string(w.good("", "pin/update", arg(from)+"&"+arg(to)+"&unpin=false")); got != fmt.Sprintf("{\"Pins\":[%q,%q]}\n", from, to) {
		t.Errorf("it answers %s", got)
	}
	w.failed("pin/update", arg(from)+"&"+arg(to), http.StatusInternalServerError, "'to' cid was already recursively pinned")
	w.good("", "pin/update", arg(from)+"&"+arg(third))
	if len(w.requests(me)) != 2 || fmt.Sprint(w.lingers) != fmt.Sprint([]string{from.String()}) {
		t.Errorf("the account has %q, and %v lingers", w.requests(me), w.lingers)
	}
}

// With unfinished=true what is not pinned is listed as well, with how far it is.
func TestLocalUnfinished(t *testing.T) {
	w := newLocalWorld(t)
	c := w.file([]byte("1")).Cid()
	w.pin(me, c, pin.Failed)
	want := fmt.Sprintf("{\"Cid\":%q,\"Type\":\"recursive\",\"Status\":\"failed\"}\n", c)
	for _, query := range []string{"", "&" + arg(c)} {
		if got := string(w.good("", "pin/ls", "stream=true&unfinished=true"+query)); got != want {
			t.Errorf("pin/ls lists %s, want %s", got, want)
		}
	}
}

// A client that cannot hang up is answered when no block comes. What it gave up goes on for a while.
func TestLocalStall(t *testing.T) {
	w := newLocalWorld(t)
	w.local.cfg.Stall = time.Millisecond
	c := w.dir().Cid()
	w.onGet = func(v *pin.View) { v.Info = map[string]string{"status_details": "nobody has it"} }
	w.failed("pin/add", arg(c)+"&progress=true", http.StatusInternalServerError, "pin: no block came for 1ms: nobody has it")
	if all := w.local.off.due(farAway); len(all) != 1 || len(w.requests(me)) != 1 {
		t.Errorf("%v is put off, and the account has %q", all, w.requests(me))
	}
}

// A client that gives up leaves the request for a while, and another goes on with it.
func TestLocalRequestIsPutOff(t *testing.T) {
	w := newLocalWorld(t)
	c := w.dir().Cid()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"pin/add?"+arg(c)+"&progress=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		res, err := http.DefaultClient.Do(r)
		if err == nil {
			res.Body.Close()
		}
		ended <- err
	}()
	await(t, func() bool { return len(w.requests(me)) == 1 })
	if all := w.local.off.due(farAway); len(all) != 0 {
		t.Errorf("it is put off while somebody waits: %v", all)
	}
	cancel()
	<-ended
	asked, err := w.ByCID(t.Context(), me, c)
	if err != nil {
		t.Fatal(err)
	}
	one := aPin{me, c, asked.ID}
	await(t, func() bool {
		w.local.off.mu.Lock()
		defer w.local.off.mu.Unlock()
		_, ok := w.local.off.until[one]
		return ok && len(w.local.off.calls) == 0
	})
	if got := w.requests(me); len(got) != 1 {
		t.Errorf("the account has %q", got)
	}
	// It became pinned meanwhile: it stays.
	id := w.pins[me][0].ID
	w.pins[me][0].Status = pin.Pinned
	if err := w.local.endPutOff(t.Context(), one); err != nil || len(w.lingers) != 0 {
		t.Errorf("what is pinned was unpinned: %v, %v", w.lingers, err)
	}
	// Damage was found in it since: it stays as well.
	w.pins[me][0].Status = pin.Pinning
	w.repairs = true
	if err := w.local.endPutOff(t.Context(), one); err != nil || len(w.lingers) != 0 {
		t.Errorf("what is mended was unpinned: %v, %v", w.lingers, err)
	}
	w.repairs = false
	w.pin(me, c, pin.Queued) // another made it, who has not given up
	all := w.local.off.due(farAway)
	if len(all) != 1 || all[0] != one {
		t.Fatalf("%v is due", all)
	}
	for range 2 { // also when somebody else removed it
		if err := w.local.endPutOff(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.lingers) != 1 || w.lingers[0] != id || len(w.requests(me)) != 1 || w.pins[me][0].ID == id {
		t.Errorf("of %s, %v lingers and %q is left", id, w.lingers, w.requests(me))
	}
	if n := strings.Count(w.lines.String(), "its client gave up on"); n != 1 {
		t.Errorf("that it was ended is logged %d times: %s", n, w.lines)
	}
}

// A pin that was put off is ended, or a call that comes again goes on with it. It is never ended under
// the call, which would then be told of a failure.
func TestLocalPutOffAndACallThatComesAgain(t *testing.T) {
	for _, command := range []string{"pin/add", "add"} {
		w := newLocalWorld(t)
		c := w.rootOf("x")
		w.pin(me, c, pin.Queued)
		one := aPin{me, c, w.pins[me][0].ID}
		w.local.off.follow(one)(pin.Queued)
		if all := w.local.off.due(farAway); len(all) != 1 {
			t.Fatalf("%v is due", all)
		}
		w.onAddOnce = func() {
			if err := w.local.endPutOff(t.Context(), one); err != nil {
				t.Error(err)
			}
			w.set(becomes(pin.Pinned, ""))
			w.change <- pin.Change{}
		}
		var a answer
		if command == "add" {
			a = w.sendParts(me, "add", "", part{name: "f", kind: aFile, content: "x"})
		} else {
			a = w.ask("", "pin/add", arg(c))
		}
		if a.status != http.StatusOK || len(w.lingers) != 0 {
			t.Errorf("%s is answered %d %s, and %v lingers", command, a.status, a.body, w.lingers)
		}
		// Unless the call followed it, it is looked at again.
		if all := w.local.off.due(farAway); len(all) > 0 != (command == "add") {
			t.Errorf("after %s, %v is due", command, all)
		}
	}
}

func TestPutOffIsEndedBeforeACallPins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, one := newPutOff(), aPin{me, cid.NewCidV1(cid.Raw, []byte{0, 1, 'x'}), "1"}
		ended, ok := p.begin(one, time.Now())
		if !ok {
			t.Fatal("it cannot be ended, and nobody wants it")
		}
		ctx, cancel := context.WithCancel(t.Context())
		var goes, gaveUp bool
		go func() {
			leave, err := p.pins(t.Context(), one.of())
			if err != nil {
				t.Error(err)
				return
			}
			goes = true
			leave()
		}()
		go func() {
			_, err := p.pins(ctx, one.of())
			gaveUp = errors.Is(err, context.Canceled)
		}()
		cancel()
		synctest.Wait()
		if goes || !gaveUp {
			t.Errorf("while it is ended, a call goes on: %v; one gave up: %v", goes, gaveUp)
		}
		ended()
		synctest.Wait()
		if !goes || len(p.calls) != 0 || len(p.ending) != 0 {
			t.Errorf("the call goes on: %v, and there are %v and %v", goes, p.calls, p.ending)
		}
	})
}
