package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// storeUpkeep is what the admin API needs of the store.
type storeUpkeep interface {
	Stats(context.Context) (storeStats, error)
	// Reclaim first brings to an end what was begun to be unpinned. It calls progress
	// in one goroutine.
	Reclaim(ctx context.Context, progress func(storeProgress)) (reclaimed, error)
	// Verify, with repair, has the DAGs that damaged blocks are of fetched again once
	// all was looked at. It may go on with that when ctx ends.
	Verify(ctx context.Context, repair bool, tell verifyWatch) (verifyReport, error)
}

// verifyWatch hears, in one goroutine, of what a check finds and begins.
type verifyWatch struct {
	Progress  func(storeProgress)
	Damage    func(damageInfo) error // an error ends the check
	Repairing func(cid string)
}

// adminStore serves what concerns the store as a whole. What takes long is
// answered with a row of [storeMessage], each on a line, as it goes; it ends
// when the client hangs up.
type adminStore struct{ store storeUpkeep }

// Progress is told no more often than this.
const tellInterval = 100 * time.Millisecond

func (s *adminStore) register(e *echo.Echo) {
	e.GET("/store/stats", s.stats)
	e.POST("/store/reclaim", s.reclaim)
	e.POST("/store/verify", s.verify)
}

// storeMessage is a line of an answer. One field is set.
type storeMessage struct {
	Progress  *storeProgress `json:"progress,omitempty"`
	Damage    *damageInfo    `json:"damage,omitempty"`
	Repairing string         `json:"repairing,omitempty"` // the CID of a DAG
	Reclaimed *reclaimed     `json:"reclaimed,omitempty"` // the end
	Verified  *verifyReport  `json:"verified,omitempty"`  // the end
	Failure   *adminFailure  `json:"failure,omitempty"`   // the end
}

// amount is some blocks.
type amount struct {
	Blocks uint64 `json:"blocks"`
	Bytes  uint64 `json:"bytes"`
}

// storeStats says what a store has.
type storeStats struct {
	Live amount `json:"live"` // the blocks that some pin needs, each counted once
	Dead amount `json:"dead"` // those that the next reclaim deletes
	Disk uint64 `json:"disk_bytes"`
	Free uint64 `json:"free_bytes"` // on the file system of the database
	// Damaged is how many files of the database have something that cannot be read.
	Damaged  int                   `json:"damaged_files"`
	DAGs     uint64                `json:"dags"`
	Complete uint64                `json:"complete_dags"` // of those
	Accounts uint64                `json:"accounts"`
	Requests map[pin.Status]uint64 `json:"requests"` // every status has an entry
}

// reclaimed says what a reclaim did.
type reclaimed struct {
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
func (r reclaimed) Freed() uint64 {
	if r.After > r.Before {
		return 0
	}
	return r.Before - r.After
}

// verifyReport is what a check found.
type verifyReport struct {
	Blocks  uint64        `json:"blocks"` // that were hashed, or are missing
	Bytes   uint64        `json:"bytes"`
	Corrupt uint64        `json:"corrupt"`
	Missing uint64        `json:"missing"`
	Strays  uint64        `json:"unreferenced"` // blocks that nothing refers to and no reclaim knew of; the next does
	Elapsed time.Duration `json:"elapsed"`      // nanoseconds
}

// BadBlocks is how many blocks are not as they should be.
func (r verifyReport) BadBlocks() uint64 { return r.Corrupt + r.Missing }

type storeProgress struct {
	Text  string `json:"text"`
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"` // zero is not known
}

type damageInfo struct {
	CID  string        `json:"cid"`
	Kind string        `json:"kind"`
	DAGs []hurtDAGInfo `json:"dags"`
}

type hurtDAGInfo struct {
	CID      string     `json:"cid"`
	Complete bool       `json:"complete"`
	Pins     []hurtInfo `json:"pins"`
	More     uint64     `json:"more_pins"`
}

type hurtInfo struct {
	RequestID string `json:"requestid"`
	Name      string `json:"name,omitempty"`
	User      string `json:"user"` // the account's address
}

func (s *adminStore) stats(c echo.Context) error {
	st, err := s.store.Stats(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, st)
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

func (m *messages) send(msg storeMessage) error {
	if err := json.NewEncoder(m.c.Response()).Encode(msg); err != nil {
		return fmt.Errorf("tell the command: %w", err)
	}
	m.c.Response().Flush()
	return nil
}

// progress sends how it goes, now and then.
func (m *messages) progress(p storeProgress) {
	now := time.Now()
	if now.Sub(m.told) < tellInterval {
		return
	}
	m.told = now
	_ = m.send(storeMessage{Progress: &p}) // the end fails too then
}

// end sends the last line.
func (m *messages) end(msg storeMessage, err error) error {
	if err != nil {
		_, f := failureOf(err)
		msg = storeMessage{Failure: &f}
	}
	return m.send(msg)
}

func (s *adminStore) reclaim(c echo.Context) error {
	m := newMessages(c)
	report, err := s.store.Reclaim(c.Request().Context(), m.progress)
	return m.end(storeMessage{Reclaimed: &report}, err)
}

func (s *adminStore) verify(c echo.Context) error {
	m := newMessages(c)
	report, err := s.store.Verify(c.Request().Context(), c.QueryParam("repair") == "true", verifyWatch{
		Progress:  m.progress,
		Damage:    func(d damageInfo) error { return m.send(storeMessage{Damage: &d}) },
		Repairing: func(cid string) { _ = m.send(storeMessage{Repairing: cid}) }, // the end fails too then
	})
	return m.end(storeMessage{Verified: &report}, err)
}

// verified is what a check found and began.
type verified struct {
	verifyReport
	Damage    []damageInfo `json:"damage"`
	Repairing []string     `json:"repairing"` // CIDs of DAGs
}

// reclaim gives space back. show hears of each message, and its error ends it.
func (c *adminClient) reclaim(ctx context.Context, show func(storeMessage) error) (r reclaimed, err error) {
	err = c.watch(ctx, "/store/reclaim", nil, func(m storeMessage) error {
		if m.Reclaimed != nil {
			r = *m.Reclaimed
		}
		return show(m)
	})
	return r, err
}

// verify checks every block. show hears of each message, and its error ends it.
func (c *adminClient) verify(ctx context.Context, repair bool, show func(storeMessage) error) (verified, error) {
	found := verified{Damage: []damageInfo{}, Repairing: []string{}}
	query := url.Values{"repair": {fmt.Sprint(repair)}}
	err := c.watch(ctx, "/store/verify", query, func(m storeMessage) error {
		switch {
		case m.Damage != nil:
			found.Damage = append(found.Damage, *m.Damage)
		case m.Repairing != "":
			found.Repairing = append(found.Repairing, m.Repairing)
		case m.Verified != nil:
			found.verifyReport = *m.Verified
		}
		return show(m)
	})
	return found, err
}

// watch asks for something that takes long, and calls show for every line of
// the answer. An answer that says so itself, or that ends early, is an error.
func (c *adminClient) watch(ctx context.Context, path string, query url.Values, show func(storeMessage) error) error {
	u := url.URL{Scheme: "http", Host: "holdfast", Path: path, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the URL is of no interest: its host is a socket
		}
		return fmt.Errorf("ask the server: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return readFailure(answer)
	}
	for lines := json.NewDecoder(answer.Body); ; {
		var m storeMessage
		err := lines.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return hinted(errors.New("the server stopped before it was done"), "run it again: nothing is lost")
		case err != nil:
			return fmt.Errorf("read the server's answer: %w", err)
		case m.Failure != nil:
			e := &answerError{details: m.Failure.Error.Details}
			if m.Failure.Error.Hint != "" {
				return hinted(e, m.Failure.Error.Hint)
			}
			return e
		}
		if err := show(m); err != nil {
			return err
		}
		if m.Reclaimed != nil || m.Verified != nil {
			return nil
		}
	}
}

// line is what stands beside the bar.
func (p storeProgress) line() string {
	if p.Total == 0 {
		return p.Text
	}
	return fmt.Sprintf("%s, %d%%", p.Text, 100*p.Done/p.Total)
}
