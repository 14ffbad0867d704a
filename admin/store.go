package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Store is what the API needs of the store.
type Store interface {
	Stats(context.Context) (StoreStats, error)
	// Reclaim first finishes the unpinning that has begun. It calls progress in one
	// goroutine.
	Reclaim(ctx context.Context, progress func(StoreProgress)) (Reclaimed, error)
	// Verify checks everything. With repair, the DAGs of damaged blocks are then fetched
	// again; that may continue after ctx ends.
	Verify(ctx context.Context, repair bool, watch VerifyWatch) (VerifyReport, error)
	// Accounts lists the accounts that have requests of the given status, each once.
	Accounts(ctx context.Context, s pin.Status) ([]string, error)
	// Adopt gives the requests of one account to another. left is how many stay, because
	// their CID cannot be read. Errors: a [*pin.QuotaError].
	Adopt(ctx context.Context, from, to string) (adopted, left int, err error)
}

// DamagedRecord is a record of the database that cannot be read.
type DamagedRecord struct {
	Kind string `json:"kind"` // such as "pin" or "account", in words
	Key  string `json:"key"`  // in hexadecimal
	// What the record is about, as far as the key says so.
	Account   string `json:"account,omitempty"`
	RequestID string `json:"requestid,omitempty"`
	CID       string `json:"cid,omitempty"`
	Token     string `json:"token,omitempty"`
}

// DamagedRecords says which records cannot be read.
type DamagedRecords struct {
	BadRecords uint64          `json:"damaged_records"`
	Records    []DamagedRecord `json:"damaged_record_list,omitempty"` // some of them, if there are many
}

// String names the record for people.
func (d DamagedRecord) String() string {
	s := d.Kind
	for _, of := range [][2]string{{"requestid", d.RequestID}, {"cid", d.CID}, {"token", d.Token}, {"account", d.Account}} {
		if of[1] != "" {
			s += " " + of[0] + "=" + of[1]
		}
	}
	return s + " (key " + d.Key + ")"
}

// VerifyWatch is called, in one goroutine, with what a check finds and begins.
type VerifyWatch struct {
	Progress  func(StoreProgress)
	Damage    func(Damage) error // an error ends the check
	Repairing func(cid string)
}

// progressInterval is the minimum time between two messages of progress.
const progressInterval = 100 * time.Millisecond

// StoreMessage is one line of the answer to a request that takes long. Lines come while the
// work goes on, until the client hangs up. One field is set.
type StoreMessage struct {
	Progress  *StoreProgress `json:"progress,omitempty"`
	Damage    *Damage        `json:"damage,omitempty"`
	Repairing string         `json:"repairing,omitempty"` // the CID of a DAG
	Reclaimed *Reclaimed     `json:"reclaimed,omitempty"` // the last line
	Verified  *VerifyReport  `json:"verified,omitempty"`  // the last line
	Backup    *Backup        `json:"backup,omitempty"`    // the last line
	Restored  *Restored      `json:"restored,omitempty"`  // the last line

	Difference *ClusterDifference `json:"difference,omitempty"`
	Compared   *ClusterReport     `json:"compared,omitempty"` // the last line
	Drained    *ClusterDrained    `json:"drained,omitempty"`  // the last line
	Imported   *ClusterImported   `json:"imported,omitempty"` // the last line

	Failure *Failure `json:"failure,omitempty"` // the last line
}

// isLast reports whether no other message follows.
func (m StoreMessage) isLast() bool {
	return m.Reclaimed != nil || m.Verified != nil || m.Backup != nil || m.Restored != nil ||
		m.Compared != nil || m.Drained != nil || m.Imported != nil
}

// Amount is a number of blocks, and their bytes.
type Amount struct {
	Blocks uint64 `json:"blocks"`
	Bytes  uint64 `json:"bytes"`
}

// StoreStats says what a store has.
type StoreStats struct {
	Live Amount `json:"live"` // blocks that a pin needs, each counted once
	Dead Amount `json:"dead"` // blocks that the next reclaim deletes
	Disk uint64 `json:"disk_bytes"`
	Free uint64 `json:"free_bytes"` // on the file system of the database
	// Damaged is how many files of the database cannot be read completely.
	Damaged int `json:"damaged_files"`
	// Unreadable lists blocks that could not be read when somebody wanted them.
	Unreadable []cid.Cid `json:"unreadable_blocks,omitempty"`

	DAGs     uint64                `json:"dags"`
	Complete uint64                `json:"complete_dags"` // of those
	Accounts uint64                `json:"accounts"`
	Requests map[pin.Status]uint64 `json:"requests"` // every status has an entry
	DamagedRecords
}

// Reclaimed says what a reclaim did.
type Reclaimed struct {
	Blocks  uint64        `json:"blocks"` // blocks that were deleted
	Bytes   uint64        `json:"bytes"`  // of those blocks
	Before  uint64        `json:"disk_before"`
	After   uint64        `json:"disk_after"`    // bytes that the database takes on disk
	Left    uint64        `json:"left"`          // bytes that are deleted and not given back yet
	Kept    uint64        `json:"kept"`          // blocks that stay because a backup or a restore is under way
	Damaged int           `json:"damaged_files"` // damaged files of the database; they keep what is dead in them
	Emptied int           `json:"emptied_files"` // damaged files with nothing left in them: a restart removes them
	Elapsed time.Duration `json:"elapsed"`       // nanoseconds
}

// Freed is how much less of the disk the database takes; 0 if it takes more, because others
// wrote meanwhile.
func (r Reclaimed) Freed() uint64 {
	if r.After > r.Before {
		return 0
	}
	return r.Before - r.After
}

// VerifyReport is what a check found.
type VerifyReport struct {
	Blocks  uint64        `json:"blocks"` // blocks that were hashed or are missing
	Bytes   uint64        `json:"bytes"`
	Corrupt uint64        `json:"corrupt"`
	Missing uint64        `json:"missing"`
	Strays  uint64        `json:"unreferenced"` // blocks that nothing refers to; no reclaim knew of them, the next one does
	Elapsed time.Duration `json:"elapsed"`      // nanoseconds
	DamagedRecords
}

// BadBlocks is how many blocks are corrupt or missing.
func (r VerifyReport) BadBlocks() uint64 { return r.Corrupt + r.Missing }

// StoreProgress says how far a reclaim or a check is.
type StoreProgress struct {
	Text  string `json:"text"`
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"` // 0 is not known
}

// Damage is a block that is corrupt or missing, and what it hurts.
type Damage struct {
	CID  string    `json:"cid"`
	Kind string    `json:"kind"`
	DAGs []HurtDAG `json:"dags"`
}

// HurtDAG is a DAG that needs a damaged block.
type HurtDAG struct {
	CID      string    `json:"cid"`
	Complete bool      `json:"complete"`
	Pins     []HurtPin `json:"pins"`
	More     uint64    `json:"more_pins"` // how many pins are not in Pins
}

// HurtPin is a request for such a DAG.
type HurtPin struct {
	RequestID string `json:"requestid"`
	Name      string `json:"name,omitempty"`
	User      string `json:"user"` // the address of its account
}

func (h handlers) stats(c echo.Context) error {
	st, err := h.Store.Stats(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		success
		StoreStats
	}{ok, st})
}

// messages writes the lines of an answer. Once the client is gone this has no effect; the
// context of the request has ended too.
type messages struct {
	c    echo.Context
	last time.Time // when progress was last sent
}

func newMessages(c echo.Context) *messages {
	c.Response().Header().Set(echo.HeaderContentType, "application/x-ndjson")
	c.Response().WriteHeader(http.StatusOK)
	return &messages{c: c}
}

// messageStall is how long a client may take nothing of an answer: a command that is stopped holds up
// the work that it watches.
const messageStall = 30 * time.Second

func (m *messages) send(msg StoreMessage) error {
	// There is no deadline in a test without a connection.
	_ = http.NewResponseController(m.c.Response()).SetWriteDeadline(time.Now().Add(messageStall))
	if err := json.NewEncoder(m.c.Response()).Encode(msg); err != nil {
		return fmt.Errorf("answer the command: %w", err)
	}
	m.c.Response().Flush()
	return nil
}

// progress sends p, unless it sent another one just before.
func (m *messages) progress(p StoreProgress) {
	now := time.Now()
	if now.Sub(m.last) < progressInterval {
		return
	}
	m.last = now
	_ = m.send(StoreMessage{Progress: &p}) // if this fails, the last line fails too
}

// end sends the last line.
func (h handlers) end(m *messages, msg StoreMessage, err error) error {
	if err != nil {
		_, f := h.failure(m.c, err)
		msg = StoreMessage{Failure: &f}
	}
	return m.send(msg)
}

func (h handlers) reclaim(c echo.Context) error {
	m := newMessages(c)
	ctx, run, _ := h.Runs.begin(c.Request().Context(), RunReclaim, h.caller(c), false)
	report, err := h.reclaimIn(ctx, run, m.progress)
	return h.end(m, StoreMessage{Reclaimed: &report}, err)
}

func (h handlers) verify(c echo.Context) error {
	m := newMessages(c)
	repair := c.QueryParam("repair") == "true"
	ctx, run, _ := h.Runs.begin(c.Request().Context(), verifyKind(repair), h.caller(c), false)
	report, err := h.verifyIn(ctx, run, repair, VerifyWatch{
		Progress:  m.progress,
		Damage:    func(d Damage) error { return m.send(StoreMessage{Damage: &d}) },
		Repairing: func(cid string) { _ = m.send(StoreMessage{Repairing: cid}) }, // if this fails, the last line fails too
	})
	return h.end(m, StoreMessage{Verified: &report}, err)
}

// Verified is what a check found and began.
type Verified struct {
	VerifyReport
	Damage    []Damage `json:"damage"`    // as much of it as the caller kept
	Repairing []string `json:"repairing"` // CIDs of DAGs
}

// Stats says what the store has.
func (c *Client) Stats(ctx context.Context) (st StoreStats, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: StatsPath}, &st)
	return st, err
}

// Reclaim gives space back. It calls progress while it runs.
func (c *Client) Reclaim(ctx context.Context, progress func(StoreProgress)) (r Reclaimed, err error) {
	err = c.watch(ctx, call{method: http.MethodPost, path: reclaimPath}, func(m StoreMessage) error {
		switch {
		case m.Progress != nil:
			progress(*m.Progress)
		case m.Reclaimed != nil:
			r = *m.Reclaimed
		}
		return nil
	})
	return r, err
}

// Verify checks every block. It calls progress while it runs, and damage with each damaged
// block. An error of damage ends the check. The result does not contain what damage got.
func (c *Client) Verify(ctx context.Context, repair bool, progress func(StoreProgress), damage func(Damage) error) (Verified, error) {
	found := Verified{Damage: []Damage{}, Repairing: []string{}}
	r := call{method: http.MethodPost, path: verifyPath, query: url.Values{"repair": {fmt.Sprint(repair)}}}
	err := c.watch(ctx, r, func(m StoreMessage) error {
		switch {
		case m.Progress != nil:
			progress(*m.Progress)
		case m.Damage != nil:
			return damage(*m.Damage)
		case m.Repairing != "":
			found.Repairing = append(found.Repairing, m.Repairing)
		case m.Verified != nil:
			found.VerifyReport = *m.Verified
		}
		return nil
	})
	return found, err
}

// watch makes a request that takes long, and calls show with every line of the answer. A
// line with a failure, and an answer that ends early, are errors.
func (c *Client) watch(ctx context.Context, r call, show func(StoreMessage) error) error {
	answer, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	for lines := json.NewDecoder(answer.Body); ; {
		var m StoreMessage
		err := lines.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return hint.Add(errors.New("the server stopped before it was done"), "run it again: nothing is lost")
		case err != nil:
			return fmt.Errorf("read the server's answer: %w", err)
		case m.Failure != nil:
			return failed(0, *m.Failure)
		}
		if err := show(m); err != nil {
			return err
		}
		if m.isLast() {
			return nil
		}
	}
}
