package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
)

// Self is what a running server knows of itself.
type Self interface {
	Condition(context.Context) (Condition, error)
	// Support gives what helps to find a fault. It may have addresses of users and CIDs in it.
	Support(context.Context) (Support, error)
}

// Condition is how a running server is. All times in it are UTC.
type Condition struct {
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Now     time.Time `json:"now"`
	Unready string    `json:"unready,omitempty"` // why it should get no new pins

	Memory    uint64 `json:"memory"` // bytes that it may use
	Files     uint64 `json:"files"`  // that it may have open
	OpenFiles uint64 `json:"open_files"`

	Free     uint64 `json:"free"`      // bytes on the file system of the database
	KeptFree uint64 `json:"kept_free"` // below so many bytes nothing new is stored
	// ClockOff: the system says that nothing keeps its clock right.
	ClockOff bool `json:"clock_off"`

	Damage           string `json:"damage,omitempty"` // of tables of the database
	DamagedFiles     int    `json:"damaged_files"`
	UnreadableBlocks int    `json:"unreadable_blocks"` // that were met since the start

	Network NetworkCondition `json:"network"`
	// Cluster is nil if what is pinned is kept on this machine.
	Cluster *ClusterCondition `json:"cluster,omitempty"`
	// Announcing is nil if nothing is announced, or if that is too busy to say.
	Announcing *AnnouncingCondition `json:"announcing,omitempty"`
	Backup     *BackupCondition     `json:"backup,omitempty"` // nil: none is made
}

// NetworkCondition is how other nodes and the server reach each other.
type NetworkCondition struct {
	PeerID    string   `json:"peer_id"`
	Addresses []string `json:"addresses"` // that it listens on, each ending in /p2p/ID
	Received  uint64   `json:"received"`  // bytes of blocks from others, since the start
	Served    uint64   `json:"served"`    // bytes of blocks to others, since the start

	Peers int `json:"peers"`
	// Asked: other nodes are asked whether they reach this one. Without that nothing is known.
	Asked bool `json:"asked"`
	// What they say of each address: that they reached it, that they did not, and nothing yet.
	Reached    []string `json:"reached,omitempty"`
	NotReached []string `json:"not_reached,omitempty"`
	Unknown    []string `json:"unknown,omitempty"`
	Relayed    bool     `json:"relayed"` // relays forward connections
}

// ClusterCondition is how the cluster is that keeps what is pinned.
type ClusterCondition struct {
	Answer []string `json:"answer"` // URLs of the peers that answer and whose nodes do
	// Away has why the others do not, by their URLs.
	Away    map[string]string `json:"away,omitempty"`
	Below   int               `json:"below"`   // DAGs with fewer copies than they are to have
	Checked time.Time         `json:"checked"` // when that was last looked at; zero is not yet
}

// AnnouncingCondition is how the announcing of what is pinned goes.
type AnnouncingCondition struct {
	Strategy string        `json:"strategy"`
	Interval time.Duration `json:"interval"` // nanoseconds between two announcements of a key
	Online   bool          `json:"online"`   // some network can be reached
	// NoAddress: nothing is announced, because the node has no address where it can be reached.
	NoAddress bool          `json:"no_address"`
	Keys      int64         `json:"keys"`            // that are announced again and again
	Waiting   int64         `json:"waiting"`         // for their first announcement
	Late      time.Duration `json:"late"`            // nanoseconds by which the renewal is late; 0 is in time
	Last      time.Time     `json:"last,omitzero"`   // when a root was last announced
	Oldest    time.Time     `json:"oldest,omitzero"` // when the root was announced that waits longest for its turn
}

// BackupCondition is how the backups are that the server makes.
type BackupCondition struct {
	Last   time.Time `json:"last,omitzero"` // of the last good one; zero: none is known
	Failed bool      `json:"failed"`        // the last one
	Old    bool      `json:"old"`           // by backup.every there should be a newer one
}

// Support is what helps to find a fault.
type Support struct {
	Log        string `json:"log"` // its last lines
	Goroutines string `json:"goroutines"`
	Settings   any    `json:"settings"` // the configuration that it runs with
}

func (h handlers) condition(c echo.Context) error {
	if h.Self == nil {
		return authhttp.NotFound("no server runs")
	}
	is, err := h.Self.Condition(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, is)
}

func (h handlers) support(c echo.Context) error {
	if h.Self == nil {
		return authhttp.NotFound("no server runs")
	}
	all, err := h.Self.Support(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, all)
}

// Condition says how the server is. It is an [*AnswerError] of status 404 if no server runs, or one
// of an earlier version.
func (c *Client) Condition(ctx context.Context) (is Condition, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: ConditionPath}, &is)
	return is, err
}

// Support gives what helps to find a fault in the server. Errors: as Condition.
func (c *Client) Support(ctx context.Context) (all Support, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: supportPath}, &all)
	return all, err
}
