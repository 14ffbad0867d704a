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
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// adminStore serves what concerns the store as a whole. What takes long is
// answered with a row of [storeMessage], each on a line, as it goes; it ends
// when the client hangs up.
type adminStore struct {
	store *store.Store
	auth  *auth.Service
	// repair has the DAGs that damaged blocks are of fetched again, tells of each, and
	// goes on when its context ends. unpin brings to an end what was begun to be
	// unpinned.
	repair func(ctx context.Context, blocks []multihash.Multihash, told func(pin.DAG)) error
	unpin  func(context.Context) error
}

const (
	// A reclaim that is asked for waits this long for what is being unpinned,
	// so that removing a pin and reclaiming gives its space back.
	unpinWait = 5 * time.Minute
	// Progress is told no more often than this.
	tellInterval = 100 * time.Millisecond
)

func (s *adminStore) register(e *echo.Echo) {
	e.GET("/store/stats", s.stats)
	e.POST("/store/reclaim", s.reclaim)
	e.POST("/store/verify", s.verify)
}

// storeMessage is a line of an answer. One field is set.
type storeMessage struct {
	Progress  *storeProgress       `json:"progress,omitempty"`
	Damage    *damageInfo          `json:"damage,omitempty"`
	Repairing string               `json:"repairing,omitempty"` // the CID of a DAG
	Reclaimed *store.ReclaimReport `json:"reclaimed,omitempty"` // the end
	Verified  *store.VerifyReport  `json:"verified,omitempty"`  // the end
	Failure   *adminFailure        `json:"failure,omitempty"`   // the end
}

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
	ctx := c.Request().Context()
	m.progress(storeProgress{Text: "unpinning"})
	var report store.ReclaimReport
	err := s.unpin(ctx)
	if err == nil {
		report, err = s.store.Reclaim(ctx, func(p store.ReclaimProgress) {
			m.progress(storeProgress{Text: p.Stage, Done: p.Done, Total: p.Total})
		})
	}
	return m.end(storeMessage{Reclaimed: &report}, err)
}

func (s *adminStore) verify(c echo.Context) error {
	m := newMessages(c)
	ctx := c.Request().Context()
	var damaged []multihash.Multihash
	report, err := s.store.Verify(ctx, func(d store.Damage) error {
		info := damageInfo{CID: d.CID().String(), Kind: d.Kind, DAGs: []hurtDAGInfo{}}
		for _, h := range d.DAGs {
			one, err := s.hurtInfo(ctx, h)
			if err != nil {
				return err
			}
			info.DAGs = append(info.DAGs, one)
		}
		damaged = append(damaged, d.Hash)
		return m.send(storeMessage{Damage: &info})
	}, func(p store.VerifyProgress) {
		text := counted(p.Blocks, "block") + ", " + roughSize(p.Bytes)
		m.progress(storeProgress{Text: text, Done: p.Done, Total: p.Total})
	})
	if err == nil && c.QueryParam("repair") == "true" {
		err = s.repair(ctx, damaged, func(d pin.DAG) {
			_ = m.send(storeMessage{Repairing: d.String()}) // the end fails too then
		})
	}
	return m.end(storeMessage{Verified: &report}, err)
}

func (s *adminStore) hurtInfo(ctx context.Context, h store.HurtDAG) (hurtDAGInfo, error) {
	info := hurtDAGInfo{CID: h.DAG.String(), Complete: h.Complete, Pins: []hurtInfo{}, More: h.More}
	for _, r := range h.Requests {
		user := r.Account
		a, err := s.auth.AccountByID(ctx, r.Account)
		if err == nil {
			user = a.Email
		} else if !errors.Is(err, auth.ErrNoAccount) {
			return info, err
		}
		info.Pins = append(info.Pins, hurtInfo{RequestID: r.ID, Name: r.Name, User: user})
	}
	return info, nil
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
