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

// Store is what the admin API needs of the store.
type Store interface {
	Stats(context.Context) (StoreStats, error)
	// Reclaim first brings to an end what was begun to be unpinned. It calls progress
	// in one goroutine.
	Reclaim(ctx context.Context, progress func(StoreProgress)) (Reclaimed, error)
	// Verify, with repair, has the DAGs that damaged blocks are of fetched again once
	// all was looked at. It may go on with that when ctx ends.
	Verify(ctx context.Context, repair bool, tell VerifyWatch) (VerifyReport, error)
	// Accounts lists the accounts that have requests of the given status, each once.
	Accounts(ctx context.Context, s pin.Status) ([]string, error)
	// Adopt gives the requests of one account to another; left is how many stay, as
	// their CID cannot be read. Errors: a [*pin.QuotaError].
	Adopt(ctx context.Context, from, to string) (adopted, left int, err error)
}

// DamagedRecord is a record of the database that cannot be read.
type DamagedRecord struct {
	Kind string `json:"kind"` // such as "pin" or "account", in words
	Key  string `json:"key"`  // in hexadecimal
	// What it is about, as far as its key says so.
	Account   string `json:"account,omitempty"`
	RequestID string `json:"requestid,omitempty"`
	CID       string `json:"cid,omitempty"`
	Token     string `json:"token,omitempty"`
}

// DamagedRecords is what was found of records that cannot be read.
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

// VerifyWatch hears, in one goroutine, of what a check finds and begins.
type VerifyWatch struct {
	Progress  func(StoreProgress)
	Damage    func(Damage) error // an error ends the check
	Repairing func(cid string)
}

// Progress is told no more often than this.
const tellInterval = 100 * time.Millisecond

// StoreMessage is a line of an answer to what takes long: it comes as it goes, until
// the client hangs up. One field is set.
type StoreMessage struct {
	Progress  *StoreProgress `json:"progress,omitempty"`
	Damage    *Damage        `json:"damage,omitempty"`
	Repairing string         `json:"repairing,omitempty"` // the CID of a DAG
	Reclaimed *Reclaimed     `json:"reclaimed,omitempty"` // the end
	Verified  *VerifyReport  `json:"verified,omitempty"`  // the end
	Failure   *Failure       `json:"failure,omitempty"`   // the end
}

// Amount is some blocks.
type Amount struct {
	Blocks uint64 `json:"blocks"`
	Bytes  uint64 `json:"bytes"`
}

// StoreStats says what a store has.
type StoreStats struct {
	Live Amount `json:"live"` // the blocks that some pin needs, each counted once
	Dead Amount `json:"dead"` // those that the next reclaim deletes
	Disk uint64 `json:"disk_bytes"`
	Free uint64 `json:"free_bytes"` // on the file system of the database
	// Damaged is how many files of the database have something that cannot be read.
	Damaged int `json:"damaged_files"`
	// Unreadable is blocks that could not be read when somebody wanted them.
	Unreadable []cid.Cid `json:"unreadable_blocks,omitempty"`

	DAGs     uint64                `json:"dags"`
	Complete uint64                `json:"complete_dags"` // of those
	Accounts uint64                `json:"accounts"`
	Requests map[pin.Status]uint64 `json:"requests"` // every status has an entry
	DamagedRecords
}

// Reclaimed says what a reclaim did.
type Reclaimed struct {
	Blocks  uint64        `json:"blocks"` // that were deleted
	Bytes   uint64        `json:"bytes"`  // of those blocks
	Before  uint64        `json:"disk_before"`
	After   uint64        `json:"disk_after"`    // bytes that the database takes on disk
	Left    uint64        `json:"left"`          // bytes that are deleted and were not given back
	Damaged int           `json:"damaged_files"` // of the database, which keep what is dead in them
	Emptied int           `json:"emptied_files"` // of those, that nothing is left in: a restart removes them
	Elapsed time.Duration `json:"elapsed"`       // nanoseconds
}

// Freed is by how much the disk's use shrank; 0 if it grew, as others write
// meanwhile.
func (r Reclaimed) Freed() uint64 {
	if r.After > r.Before {
		return 0
	}
	return r.Before - r.After
}

// VerifyReport is what a check found.
type VerifyReport struct {
	Blocks  uint64        `json:"blocks"` // that were hashed, or are missing
	Bytes   uint64        `json:"bytes"`
	Corrupt uint64        `json:"corrupt"`
	Missing uint64        `json:"missing"`
	Strays  uint64        `json:"unreferenced"` // blocks that nothing refers to and no reclaim knew of; the next does
	Elapsed time.Duration `json:"elapsed"`      // nanoseconds
	DamagedRecords
}

// BadBlocks is how many blocks are not as they should be.
func (r VerifyReport) BadBlocks() uint64 { return r.Corrupt + r.Missing }

type StoreProgress struct {
	Text  string `json:"text"`
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"` // zero is not known
}

type Damage struct {
	CID  string    `json:"cid"`
	Kind string    `json:"kind"`
	DAGs []HurtDAG `json:"dags"`
}

type HurtDAG struct {
	CID      string    `json:"cid"`
	Complete bool      `json:"complete"`
	Pins     []HurtPin `json:"pins"`
	More     uint64    `json:"more_pins"`
}

type HurtPin struct {
	RequestID string `json:"requestid"`
	Name      string `json:"name,omitempty"`
	User      string `json:"user"` // the account's address
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

// messages writes the lines of an answer. Once the client is gone nothing
// comes of that: the request's context has ended too.
type messages struct {
	c    echo.Context
	told time.Time
}

func newMessages(c echo.Context) *messages {
	c.Response().Header().Set(echo.HeaderContentType, "application/x-ndjson")
	c.Response().WriteHeader(http.StatusOK)
	return &messages{c: c}
}

func (m *messages) send(msg StoreMessage) error {
	if err := json.NewEncoder(m.c.Response()).Encode(msg); err != nil {
		return fmt.Errorf("tell the command: %w", err)
	}
	m.c.Response().Flush()
	return nil
}

// progress sends how it goes, now and then.
func (m *messages) progress(p StoreProgress) {
	now := time.Now()
	if now.Sub(m.told) < tellInterval {
		return
	}
	m.told = now
	_ = m.send(StoreMessage{Progress: &p}) // the end fails too then
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
	report, err := h.Store.Reclaim(c.Request().Context(), m.progress)
	return h.end(m, StoreMessage{Reclaimed: &report}, err)
}

func (h handlers) verify(c echo.Context) error {
	m := newMessages(c)
	report, err := h.Store.Verify(c.Request().Context(), c.QueryParam("repair") == "true", VerifyWatch{
		Progress:  m.progress,
		Damage:    func(d Damage) error { return m.send(StoreMessage{Damage: &d}) },
		Repairing: func(cid string) { _ = m.send(StoreMessage{Repairing: cid}) }, // the end fails too then
	})
	return h.end(m, StoreMessage{Verified: &report}, err)
}

// Verified is what a check found and began.
type Verified struct {
	VerifyReport
	Damage    []Damage `json:"damage"`    // as far as it was kept
	Repairing []string `json:"repairing"` // CIDs of DAGs
}

// Stats says what the store has.
func (c *Client) Stats(ctx context.Context) (st StoreStats, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: statsPath}, &st)
	return st, err
}

// Reclaim gives space back. progress hears how it goes.
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

// Verify checks every block. progress hears how it goes, and damage of each block that is
// damaged; its error ends the check. What it is told is not kept in the answer.
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

// watch asks for something that takes long, and calls show for every line of
// the answer. An answer that says so itself, or that ends early, is an error.
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
		if m.Reclaimed != nil || m.Verified != nil {
			return nil
		}
	}
}
