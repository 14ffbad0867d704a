package peers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// Null is an IPFS node that stores nothing: it answers the calls of a cluster peer from memory, and
// says of each pin at once that it is pinned. What a cluster does over such nodes is what cluster
// itself can do.
type Null struct {
	*Node
	id string
	// finds is whether it says that pins are pinned; else it finds nothing, and each waits until
	// its caller gives up.
	finds bool

	mu    sync.Mutex
	pins  map[string]string // CID -> type
	serve *http.Server
}

// NewNull starts one, on a free port of the loopback address. With finds unset it pins nothing, and is
// a node to whose pins nobody has the content. The caller closes it.
func NewNull(ctx context.Context, finds bool) (*Null, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &Null{id: nullID(), finds: finds, pins: map[string]string{}}
	if n.Node, err = NewNode("http://" + l.Addr().String()); err != nil {
		return nil, err
	}
	n.serve = &http.Server{Handler: n, ReadHeaderTimeout: time.Minute}
	go func() { _ = n.serve.Serve(l) }() // until it is closed
	return n, nil
}

// Close ends it, with all calls that wait.
func (n *Null) Close() error { return n.serve.Close() }

// nullID makes a peer ID that nobody has.
func nullID() string {
	digest := make([]byte, 32)
	_, _ = rand.Read(digest) // it never fails
	const peerKey, sha256 = 0x72, 0x12
	return rig.CIDOf(peerKey, sha256, digest)
}

// ServeHTTP answers the calls of [Calls].
func (n *Null) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	q := r.URL.Query()
	arg, kind := q.Get("arg"), "recursive"
	if q.Get("recursive") == "false" || q.Get("type") == "direct" {
		kind = "direct"
	}
	switch strings.TrimPrefix(r.URL.Path, "/api/v0/") {
	case "id":
		fmt.Fprintf(w, `{"ID":%q,"Addresses":["/ip4/127.0.0.1/tcp/1/p2p/%s"]}`, n.id, n.id)
	case "version":
		fmt.Fprint(w, `{"Version":"0.43.0"}`)
	case "repo/stat":
		fmt.Fprint(w, `{"RepoSize":0,"StorageMax":1000000000000}`)
	case "config/show":
		fmt.Fprint(w, `{"Datastore":{"StorageMax":"1TB"}}`)
	case "swarm/peers":
		fmt.Fprint(w, `{"Peers":null}`)
	case "swarm/connect", "repo/gc": // nothing to say
	case "resolve":
		fmt.Fprintf(w, `{"Path":%q}`, arg)
	case "block/put":
		_, _ = io.Copy(io.Discard, r.Body) // it keeps nothing
	case "pin/add":
		n.pin(w, r, kind, arg)
	case "pin/update":
		n.pin(w, r, kind, q["arg"]...)
	case "pin/ls":
		n.list(w, arg, kind)
	case "pin/rm":
		n.mu.Lock()
		_, ok := n.pins[arg]
		delete(n.pins, arg)
		n.mu.Unlock()
		if !ok {
			nullError(w, "not pinned or pinned indirectly")
			return
		}
		fmt.Fprintf(w, `{"Pins":[%q]}`, arg)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// pin pins the last of some CIDs.
func (n *Null) pin(w http.ResponseWriter, r *http.Request, kind string, cids ...string) {
	if !n.finds {
		_ = http.NewResponseController(w).Flush() // the caller waits in any case
		<-r.Context().Done()
		return
	}
	n.mu.Lock()
	n.pins[cids[len(cids)-1]] = kind
	n.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string][]string{"Pins": cids})
}

func (n *Null) list(w http.ResponseWriter, arg, kind string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if arg == "" {
		for c, k := range n.pins {
			if k == kind {
				fmt.Fprintf(w, "{\"Cid\":%q,\"Type\":%q}\n", c, k)
			}
		}
		return
	}
	if n.pins[arg] != kind {
		nullError(w, fmt.Sprintf("path '%s' is not pinned", arg))
		return
	}
	fmt.Fprintf(w, "{\"Cid\":%q,\"Type\":%q}\n", arg, kind)
}

func nullError(w http.ResponseWriter, message string) {
	w.WriteHeader(http.StatusInternalServerError)
	_ = json.NewEncoder(w).Encode(map[string]any{"Message": message, "Code": 0, "Type": "error"})
}
