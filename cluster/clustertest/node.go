package clustertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
)

// Node is the node of a peer.
type Node struct {
	ID string

	c      *Cluster
	server *httptest.Server
	pins   map[string]struct{}
	loose  map[string][]byte // blocks that no pin has, by hash
	down   bool              // it refuses what its peer asks
	agent  string
	lies   map[string]Content
}

func newNode(c *Cluster, i int) *Node {
	n := &Node{ID: fmt.Sprintf("12D3KooWnode%d", i), c: c, pins: make(map[string]struct{}), loose: make(map[string][]byte), agent: "holdfast/1"}
	n.server = httptest.NewServer(http.HandlerFunc(n.serve))
	return n
}

// SetDown makes the node refuse what its peer asks, or not so any more.
func (n *Node) SetDown(down bool) {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	n.down = down
	if !down {
		for _, p := range n.c.peers {
			p.try()
		}
	}
}

// BeKubo makes the node say that it is a Kubo: it tells no sizes.
func (n *Node) BeKubo() {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	n.agent = "kubo/0.43.0"
}

// Lie makes the node say that a DAG is as large as it is not.
func (n *Node) Lie(cid string, is Content) {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	if n.lies == nil {
		n.lies = make(map[string]Content)
	}
	n.lies[cid] = is
}

// content is how large the node says that a DAG is.
func (n *Node) content(cid string) Content {
	if is, lies := n.lies[cid]; lies {
		return is
	}
	return n.c.network[cid]
}

// partly is how much of a DAG the node says that it has, before it has all.
func (n *Node) partly(cid string) Content {
	if is, lies := n.lies[cid]; lies {
		return is
	}
	return Content{Blocks: 1, Bytes: 1}
}

// Replace puts another node in the place of this one, with nothing pinned, at the same address.
func (n *Node) Replace() {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	n.ID += "again"
	clear(n.pins)
}

// Has reports whether the node has a DAG pinned.
func (n *Node) Has(cid string) bool {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	_, ok := n.pins[cid]
	return ok
}

// Add pins a DAG at the node alone.
func (n *Node) Add(cid string) {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	n.pins[cid] = struct{}{}
}

// Forget unpins a DAG at the node alone, and its peer does not know.
func (n *Node) Forget(cid string) {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	delete(n.pins, cid)
}

// Block gives a block that was put to the node, by its hash; nil if it was not.
func (n *Node) Block(hash string) []byte {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	return n.loose[hash]
}

func (n *Node) remove(cid string) { delete(n.pins, cid) }

func (n *Node) serve(w http.ResponseWriter, r *http.Request) {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	enc := json.NewEncoder(w)
	w.Header().Set("Content-Type", "application/json")
	fail := func(text string) {
		w.WriteHeader(http.StatusInternalServerError)
		_ = enc.Encode(map[string]any{"Message": text, "Code": 0, "Type": "error"})
	}
	cid := r.URL.Query().Get("arg")
	kubo := n.agent != "holdfast/1"
	switch r.URL.Path {
	case "/api/v0/id":
		_ = enc.Encode(map[string]any{"ID": n.ID, "AgentVersion": n.agent})
	case "/api/v0/pin/ls":
		if cid == "" {
			for c := range n.pins {
				_ = enc.Encode(map[string]any{"Cid": c, "Type": "recursive"})
			}
			return
		}
		var rows []map[string]any
		for _, cid := range r.URL.Query()["arg"] {
			is := n.content(cid)
			if kubo {
				is = Content{}
			}
			_, has := n.pins[cid]
			switch {
			case has:
				rows = append(rows, map[string]any{"Cid": cid, "Type": "recursive", "Blocks": is.Blocks, "Bytes": is.Bytes})
			case r.URL.Query().Get("unfinished") == "true" && !kubo && is.Blocks > 0:
				// Of what is not all there the node has the root.
				rows = append(rows, map[string]any{"Cid": cid, "Type": "recursive", "Blocks": n.partly(cid).Blocks, "Bytes": n.partly(cid).Bytes, "Status": "pinning"})
			default:
				fail("path '" + cid + "' is not pinned")
				return
			}
		}
		for _, row := range rows {
			_ = enc.Encode(row)
		}
	case "/api/v0/pin/rm":
		if _, has := n.pins[cid]; !has {
			fail("not pinned or pinned indirectly")
			return
		}
		delete(n.pins, cid)
		_ = enc.Encode(map[string]any{"Pins": []string{cid}})
	case "/api/v0/dag/stat":
		whole := n.content(cid)
		_ = enc.Encode(map[string]any{"DagStats": []any{map[string]any{"Size": whole.Bytes, "NumBlocks": whole.Blocks}}})
	default:
		http.NotFound(w, r)
	}
}
