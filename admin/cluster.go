package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
)

// Cluster is what the API needs of the cluster that keeps what is pinned.
type Cluster interface {
	State(context.Context) (ClusterState, error)
	// Check compares records, pinset and nodes. With repair it mends what differs. It calls found in
	// one goroutine.
	Check(ctx context.Context, repair bool, found func(ClusterDifference)) (ClusterReport, error)
	// Drain moves the copies of a peer to others.
	Drain(ctx context.Context, peer string, progress func(StoreProgress)) (ClusterDrained, error)
	// Import makes requests of what the pinset says that a server had.
	Import(ctx context.Context, in ClusterImport, progress func(StoreProgress)) (ClusterImported, error)
}

// ClusterPeer is a peer of the cluster.
type ClusterPeer struct {
	Name    string `json:"name"`
	ID      string `json:"id,omitempty"`
	URL     string `json:"url"`
	Version string `json:"version,omitempty"`
	Away    string `json:"away,omitempty"` // why it does not answer
	Node    string `json:"node,omitempty"` // the ID of its node
	// NodeAway is why its node does not answer the peer.
	NodeAway string `json:"node_away,omitempty"`
	// Sizes says whether the node tells how large DAGs are.
	Sizes bool   `json:"sizes"`
	Room  uint64 `json:"room"` // bytes; 0 is none, or not known
	// What is under way there for all clients of the cluster; left out if that is not known.
	Work *ClusterWork `json:"work,omitempty"`
}

// ClusterWork is what a peer has under way.
type ClusterWork struct {
	Queued  uint64 `json:"queued"`
	Pinning uint64 `json:"pinning"`
	Failed  uint64 `json:"failed"`
}

// ClusterState is how a cluster is.
type ClusterState struct {
	Instance    string        `json:"instance"` // by which the pinset knows this server
	Replication string        `json:"replication"`
	Members     int           `json:"members"`
	Peers       []ClusterPeer `json:"peers"`
	Below       int           `json:"below"` // DAGs with fewer copies than they are to have
	// Checked is the last check that came to its end; nil if none did.
	Checked *ClusterReport `json:"checked,omitempty"`
}

// ClusterDifference is something in which records, pinset and nodes differ.
type ClusterDifference struct {
	Kind   string `json:"kind"`
	CID    string `json:"cid"`
	Peer   string `json:"peer,omitempty"`
	Text   string `json:"text"`
	Mended bool   `json:"mended"`
	Error  string `json:"error,omitempty"` // why it was not mended
}

// ClusterReport is what a check found.
type ClusterReport struct {
	Ended   time.Time         `json:"ended"`
	Elapsed time.Duration     `json:"elapsed"` // nanoseconds
	Pins    uint64            `json:"pins"`    // of the pinset
	Ours    uint64            `json:"ours"`    // of those, pins of this server
	Found   map[string]uint64 `json:"found"`   // differences by kind
	Mended  map[string]uint64 `json:"mended"`
	More    uint64            `json:"more,omitempty"` // differences that the next check looks into
	// Unread are peers and nodes that did not answer, so that their copies were not compared.
	Unread []string `json:"unread,omitempty"`
}

// Differences is how many were found, and how many of them were mended.
func (r ClusterReport) Differences() (found, mended uint64) {
	for _, n := range r.Found {
		found += n
	}
	for _, n := range r.Mended {
		mended += n
	}
	return found, mended
}

// ClusterDrained is what a drain did.
type ClusterDrained struct {
	Peer   string `json:"peer"`
	Moved  uint64 `json:"moved"`
	Failed uint64 `json:"failed"` // pins that are still there; the log says why
}

// ClusterImport says what to make requests of.
type ClusterImport struct {
	From string `json:"from,omitempty"` // the instance of the server that had them; "" only lists them
	// Accounts gives accounts there the addresses of accounts here. An account that exists here
	// under the same ID needs none.
	Accounts map[string]string `json:"accounts,omitempty"`
	Rest     string            `json:"rest,omitempty"` // the address for all others; "" leaves them
}

// ClusterOwner is an account that a server had, as the pinset tells of it.
type ClusterOwner struct {
	Instance string `json:"instance"`
	Account  string `json:"account"`
	To       string `json:"to,omitempty"` // the address of the account here that gets its requests
	Requests uint64 `json:"requests"`
	Made     uint64 `json:"made"`
}

// ClusterImported is what an import found and made.
type ClusterImported struct {
	Owners []ClusterOwner `json:"owners"`
}

const (
	clusterPath       = Base + "/cluster"
	clusterCheckPath  = clusterPath + "/check"
	clusterDrainPath  = clusterPath + "/drain"
	clusterImportPath = clusterPath + "/import"
)

// errNoCluster: no server runs that has a cluster.
var errNoCluster error = &StatusError{http.StatusNotFound, errors.New("no server runs here whose pins a cluster keeps"),
	"cluster.peers names the peers of a cluster; start the server"}

func (h handlers) cluster() (Cluster, error) {
	if h.Cluster == nil {
		return nil, errNoCluster
	}
	return h.Cluster, nil
}

func (h handlers) clusterState(c echo.Context) error {
	k, err := h.cluster()
	if err != nil {
		return err
	}
	s, err := k.State(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		success
		ClusterState
	}{ok, s})
}

func (h handlers) clusterCheck(c echo.Context) error {
	k, err := h.cluster()
	if err != nil {
		return err
	}
	m := newMessages(c)
	report, err := k.Check(c.Request().Context(), c.QueryParam("repair") == "true", func(d ClusterDifference) {
		_ = m.send(StoreMessage{Difference: &d}) // if this fails, the last line fails too
	})
	return h.end(m, StoreMessage{Compared: &report}, err)
}

func (h handlers) clusterDrain(c echo.Context) error {
	k, err := h.cluster()
	if err != nil {
		return err
	}
	m := newMessages(c)
	done, err := k.Drain(c.Request().Context(), c.QueryParam("peer"), m.progress)
	return h.end(m, StoreMessage{Drained: &done}, err)
}

func (h handlers) clusterImport(c echo.Context) error {
	k, err := h.cluster()
	if err != nil {
		return err
	}
	var in ClusterImport
	if err := authhttp.ReadJSON(c, &in); err != nil {
		return err
	}
	m := newMessages(c)
	done, err := k.Import(c.Request().Context(), in, m.progress)
	return h.end(m, StoreMessage{Imported: &done}, err)
}

// ClusterState says how the cluster is.
func (c *Client) ClusterState(ctx context.Context) (s ClusterState, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: clusterPath}, &s)
	return s, err
}

// ClusterCheck compares records, pinset and nodes. It calls found with each difference.
func (c *Client) ClusterCheck(ctx context.Context, repair bool, found func(ClusterDifference) error) (r ClusterReport, err error) {
	in := call{method: http.MethodPost, path: clusterCheckPath, query: url.Values{"repair": {map[bool]string{true: "true", false: "false"}[repair]}}}
	err = c.watch(ctx, in, func(m StoreMessage) error {
		switch {
		case m.Difference != nil:
			return found(*m.Difference)
		case m.Compared != nil:
			r = *m.Compared
		}
		return nil
	})
	return r, err
}

// ClusterDrain moves the copies of a peer to others.
func (c *Client) ClusterDrain(ctx context.Context, peer string, progress func(StoreProgress)) (d ClusterDrained, err error) {
	err = c.watch(ctx, call{method: http.MethodPost, path: clusterDrainPath, query: url.Values{"peer": {peer}}}, func(m StoreMessage) error {
		switch {
		case m.Progress != nil:
			progress(*m.Progress)
		case m.Drained != nil:
			d = *m.Drained
		}
		return nil
	})
	return d, err
}

// ClusterImport makes requests of what the pinset says that a server had.
func (c *Client) ClusterImport(ctx context.Context, in ClusterImport, progress func(StoreProgress)) (d ClusterImported, err error) {
	err = c.watch(ctx, call{method: http.MethodPost, path: clusterImportPath, in: in}, func(m StoreMessage) error {
		switch {
		case m.Progress != nil:
			progress(*m.Progress)
		case m.Imported != nil:
			d = *m.Imported
		}
		return nil
	})
	return d, err
}
