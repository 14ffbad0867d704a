package clustertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	car "github.com/ipld/go-car/v2"
)

// Peer is a peer of the cluster.
type Peer struct {
	ID, Name string
	Node     *Node

	c          *Cluster
	url        string
	server     *httptest.Server // nil while it is away
	hung       chan struct{}    // closed when it goes on; nil is that it does not hang
	full       bool
	asked      chan struct{}    // has an entry for each request that met it hanging
	ops        map[string]*op   // what it pins and unpins
	answer     http.HandlerFunc // in the place of its own; nil is none
	other      map[string]*Pin  // what its pinset has that differs from that of the others; nil is that it has not
	distrusted bool             // the others do not take what it writes
}

// op is what a peer does about a CID.
type op struct {
	status, reason string
	since          time.Time
	tries          int
}

func newPeer(c *Cluster, i int) *Peer {
	p := &Peer{
		ID: fmt.Sprintf("12D3KooWpeer%d", i), Name: fmt.Sprintf("s%d", i+1), c: c,
		ops: make(map[string]*op), asked: make(chan struct{}, 1000),
	}
	p.Node = newNode(c, i)
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	p.url = p.server.URL
	return p
}

// URL is its REST API.
func (p *Peer) URL() string { return p.url }

func (p *Peer) close() {
	p.Continue()
	p.c.mu.Lock()
	s := p.server
	p.server = nil
	p.c.mu.Unlock()
	if s != nil {
		s.CloseClientConnections()
		s.Close()
	}
	p.Node.server.CloseClientConnections()
	p.Node.server.Close()
}

// Kill ends the peer as SIGKILL does: what it acknowledged and nobody has written is lost.
func (p *Peer) Kill() {
	p.c.mu.Lock()
	p.c.pending = slices.DeleteFunc(p.c.pending, func(w write) bool { return w.by == p })
	s := p.server
	p.server = nil
	p.ops = make(map[string]*op)
	p.c.mu.Unlock()
	s.CloseClientConnections()
	s.Close()
}

// Start starts a peer that was killed, at its old address.
func (p *Peer) Start() {
	l, err := net.Listen("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		p.c.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.server = s
	for cid := range p.c.pinset {
		p.hear(cid)
	}
}

// Hang makes the peer answer nothing, as SIGSTOP does.
func (p *Peer) Hang() {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.hung = make(chan struct{})
}

// Continue ends Hang.
func (p *Peer) Continue() {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.hung != nil {
		close(p.hung)
		p.hung = nil
		for cid := range p.c.pinset {
			p.hear(cid)
		}
	}
}

// Asked waits until a request met the peer hanging.
func (p *Peer) Asked() <-chan struct{} { return p.asked }

// Fill makes the peer's node too full for new pins, or not so any more.
func (p *Peer) Fill(full bool) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.full = full
}

// Answer makes something else answer in the place of the peer, such as a proxy; nil ends that.
func (p *Peer) Answer(h http.HandlerFunc) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.answer = h
}

// Wrap has something stand before the peer, and pass on what it likes.
func (p *Peer) Wrap(h func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc)) {
	p.Answer(func(w http.ResponseWriter, r *http.Request) { h(w, r, p.mux().ServeHTTP) })
}

// Fail makes a pin of this peer fail with a reason.
func (p *Peer) Fail(cid, reason string) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.ops[cid] = &op{status: "pin_error", reason: reason, since: time.Now(), tries: 1}
}

// Differ makes the peer's pinset differ from that of the others, until a change of the CID comes: it has is
// there, or nothing if that is nil.
func (p *Peer) Differ(cid string, is *Pin) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.other == nil {
		p.other = make(map[string]*Pin)
	}
	p.other[cid] = is
}

// Distrust has the other peers ignore what this one writes, as they do if their trusted_peers do not have it.
func (p *Peer) Distrust() {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.distrusted = true
	if p.other == nil {
		p.other = make(map[string]*Pin)
	}
}

// Knows is what the peer's pinset has of a CID; nil is nothing.
func (p *Peer) Knows(cid string) *Pin {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	return p.knows(cid)
}

// knows is what the peer's pinset has of a CID.
func (p *Peer) knows(cid string) *Pin {
	if is, differs := p.other[cid]; differs {
		return is
	}
	return p.c.pinset[cid]
}

// Recover has the peer try again what failed.
func (p *Peer) Recover(cid string) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	delete(p.ops, cid)
	p.hear(cid)
}

func (p *Peer) away() bool { return p.server == nil || p.hung != nil }

func (p *Peer) allocated(pin *Pin) bool {
	return pin != nil && (len(pin.Allocations) == 0 || slices.Contains(pin.Allocations, p.ID))
}

// hear takes note of what the pinset has of a CID.
func (p *Peer) hear(cid string) {
	if p.away() {
		return
	}
	pin, o := p.c.pinset[cid], p.ops[cid]
	_, has := p.Node.pins[cid]
	switch {
	case p.allocated(pin) && (!has || o != nil && o.status == "unpin_error"): // a pin takes the place of an unpin
		if o == nil || o.status != "pin_error" {
			p.ops[cid] = &op{status: "pinning", since: time.Now()}
		}
	case !p.allocated(pin) && has && p.Node.down:
		p.ops[cid] = &op{status: "unpin_error", reason: "the node does not answer", since: time.Now()}
	case !p.allocated(pin):
		p.Node.remove(cid)
		delete(p.ops, cid)
	}
	p.try()
}

// try pins what is there by now.
func (p *Peer) try() {
	if p.away() || p.Node.down {
		return
	}
	for cid, o := range p.ops {
		if o.status == "pinning" && p.c.network[cid].All {
			p.Node.pins[cid] = struct{}{}
			delete(p.ops, cid)
		}
	}
}

func (p *Peer) serve(w http.ResponseWriter, r *http.Request) {
	p.c.mu.Lock()
	hung, answer, password := p.hung, p.answer, p.c.password
	p.c.mu.Unlock()
	if hung != nil {
		select {
		case p.asked <- struct{}{}:
		default:
		}
		select {
		case <-hung:
		case <-r.Context().Done():
			return
		}
	}
	if answer != nil {
		answer(w, r)
		return
	}
	if _, given, _ := r.BasicAuth(); password != "" && given != password {
		p.fail(w, http.StatusUnauthorized, "unauthorized: access denied")
		return
	}
	p.mux().ServeHTTP(w, r)
}

func (p *Peer) fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"code": status, "message": message})
}

func (p *Peer) send(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// list sends a list, as cluster does: one object after the other, and 204 if there is none.
func list[T any](w http.ResponseWriter, all []T) {
	if len(all) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Trailer", "X-Stream-Error")
	for _, one := range all {
		_ = json.NewEncoder(w).Encode(one)
	}
	w.Header().Set("X-Stream-Error", "")
}

func (p *Peer) mux() *http.ServeMux {
	m := http.NewServeMux()
	on := func(pattern string, h func(w http.ResponseWriter, r *http.Request)) {
		m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			p.c.mu.Lock()
			defer p.c.mu.Unlock()
			h(w, r)
		})
	}
	on("GET /id", p.serveID)
	on("GET /monitor/metrics/{name}", p.serveMetrics)
	on("GET /allocations", p.serveAllocations)
	on("GET /allocations/{cid}", p.serveAllocation)
	on("GET /pins", p.serveStatuses)
	on("GET /pins/{cid}", p.serveStatus)
	on("POST /pins/{cid}", p.servePin)
	on("DELETE /pins/{cid}", p.serveUnpin)
	on("POST /pins/{cid}/recover", p.serveRecover)
	m.HandleFunc("POST /add", p.serveAdd)
	return m
}

func (p *Peer) serveID(w http.ResponseWriter, _ *http.Request) {
	var members []string
	for _, o := range p.c.peers {
		members = append(members, o.ID)
	}
	node := map[string]any{"id": p.Node.ID, "addresses": []string{"/ip4/127.0.0.1/tcp/4040/p2p/" + p.Node.ID}, "error": ""}
	if p.Node.down {
		node = map[string]any{"id": "", "addresses": nil, "error": "the node does not answer"}
	}
	p.send(w, map[string]any{"id": p.ID, "peername": p.Name, "version": "1.1.6", "cluster_peers": members, "ipfs": node})
}

func (p *Peer) serveMetrics(w http.ResponseWriter, r *http.Request) {
	all := []map[string]any{}
	for _, o := range p.c.peers {
		if o.away() || o.full && r.PathValue("name") == "freespace" {
			continue
		}
		all = append(all, map[string]any{"name": r.PathValue("name"), "peer": o.ID, "value": "1000000000", "valid": true})
	}
	p.send(w, all)
}

func (p *Peer) serveAllocations(w http.ResponseWriter, _ *http.Request) {
	var all []*Pin
	for cid := range p.c.pinset {
		if is := p.knows(cid); is != nil {
			all = append(all, is)
		}
	}
	for cid, is := range p.other {
		if is != nil && p.c.pinset[cid] == nil {
			all = append(all, is)
		}
	}
	list(w, all)
}

func (p *Peer) serveAllocation(w http.ResponseWriter, r *http.Request) {
	if pin := p.knows(r.PathValue("cid")); pin != nil {
		p.send(w, pin)
		return
	}
	p.fail(w, http.StatusNotFound, "pin is not part of the pinset")
}

// status is what the peer says of a CID.
func (p *Peer) status(cid string) map[string]any {
	pin := p.c.pinset[cid]
	is := map[string]any{
		"peername": p.Name, "ipfs_peer_id": p.Node.ID, "timestamp": time.Now(), "error": "", "attempt_count": 0,
	}
	_, has := p.Node.pins[cid]
	switch o := p.ops[cid]; {
	case o != nil:
		is["status"], is["error"], is["timestamp"], is["attempt_count"] = o.status, o.reason, o.since, o.tries
	case pin == nil:
		is["status"] = "unpinned"
	case !p.allocated(pin):
		is["status"] = "remote"
	case p.Node.down:
		is["status"], is["error"] = "cluster_error", "the node does not answer"
	case has:
		is["status"] = "pinned"
	default:
		is["status"], is["error"] = "unexpectedly_unpinned", "the item should be pinned but it is not"
	}
	of := map[string]any{"cid": cid, "peer_map": map[string]any{p.ID: is}}
	if pin != nil {
		of["metadata"], of["allocations"], of["name"] = pin.Metadata, pin.Allocations, pin.Name
	}
	return of
}

func (p *Peer) serveStatus(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("local") != "true" {
		p.fail(w, http.StatusInternalServerError, "the fake is asked for its own status alone")
		return
	}
	p.send(w, p.status(r.PathValue("cid")))
}

// serveStatuses lists what the peer says of some CIDs, or what it pins and unpins.
func (p *Peer) serveStatuses(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if cids := q.Get("cids"); cids != "" && q.Get("local") == "true" {
		var all []map[string]any
		for c := range strings.SplitSeq(cids, ",") {
			all = append(all, p.status(c))
		}
		list(w, all)
		return
	}
	if q.Get("local") != "true" || q.Get("filter") == "" {
		p.fail(w, http.StatusInternalServerError, "the fake is asked for what is in flight alone")
		return
	}
	filter := strings.Split(q.Get("filter"), ",")
	var all []map[string]any
	for cid, o := range p.ops {
		if slices.Contains(filter, o.status) {
			all = append(all, p.status(cid))
		}
	}
	list(w, all)
}

func (p *Peer) servePin(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	cid := r.PathValue("cid")
	pin, first, err := pinOf(cid, q.Get, q)
	if err != nil {
		p.fail(w, http.StatusBadRequest, err.Error())
		return
	}
	pin.Allocations, err = p.c.allocate(p.c.pinset[cid], pin.Min, pin.Max, first)
	if err != nil {
		p.c.refused++
		p.fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	p.c.posts++
	if p.distrusted {
		p.other[cid] = &pin
	} else {
		p.c.write(write{by: p, cid: cid, pin: &pin})
	}
	p.send(w, pin)
}

func (p *Peer) serveUnpin(w http.ResponseWriter, r *http.Request) {
	cid := r.PathValue("cid")
	pin := p.knows(cid)
	if pin == nil {
		p.fail(w, http.StatusNotFound, "pin is not part of the pinset")
		return
	}
	p.c.write(write{by: p, cid: cid})
	p.send(w, pin)
}

func (p *Peer) serveRecover(w http.ResponseWriter, r *http.Request) {
	cid := r.PathValue("cid")
	if p.c.pinset[cid] == nil {
		p.fail(w, http.StatusNotFound, "pin is not part of the pinset")
		return
	}
	delete(p.ops, cid)
	p.hear(cid)
	p.send(w, p.status(cid))
}

// serveAdd takes a CAR of raw blocks, and puts them to the peer's node, without a pin. It takes them all
// or, if the node refuses, none.
func (p *Peer) serveAdd(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("format") != "car" || q.Get("local") != "true" || q.Get("no-pin") != "true" || q.Get("stream-channels") != "false" {
		p.fail(w, http.StatusBadRequest, "the fake takes CARs for its own node alone, without a pin")
		return
	}
	file, _, err := r.FormFile("file")
	if err != nil {
		p.fail(w, http.StatusBadRequest, err.Error())
		return
	}
	defer file.Close()
	in, err := car.NewBlockReader(file) // it compares hashes
	if err != nil {
		p.fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	var loose []blocks.Block
	for {
		b, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && (b.Cid().Type() != cid.Raw || len(loose) > 0 && b.Cid().Prefix() != loose[0].Cid().Prefix()) {
			err = fmt.Errorf("the node would take block %s for another", b.Cid())
		}
		if err != nil {
			p.fail(w, http.StatusInternalServerError, err.Error())
			return
		}
		loose = append(loose, b)
	}
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.Node.down || p.full {
		p.fail(w, http.StatusInternalServerError, "there were errors adding blocks: the node refuses them")
		return
	}
	root := in.Roots[0].String()
	is := p.c.network[root]
	for _, b := range loose {
		if hash := string(b.Cid().Hash()); p.Node.loose[hash] == nil {
			p.Node.loose[hash] = b.RawData()
			is.Blocks++
			is.Bytes += uint64(len(b.RawData()))
		}
	}
	is.All = true // the others fetch from this node
	p.c.network[root] = is
	for _, o := range p.c.peers {
		o.try()
	}
	p.send(w, []any{})
}
