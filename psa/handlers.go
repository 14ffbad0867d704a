package psa

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// api holds the handlers.
type api struct {
	service   Service
	delegates func() []string
	requester func(*http.Request) netip.Addr // nil: it is never known
	answers   *answers
}

// list answers GET /pins.
func (a *api) list(c echo.Context) error {
	account, delegates, err := a.begin(c)
	if err != nil {
		return err
	}
	q, err := ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	page := func() ([]byte, error) {
		page, err := a.service.List(ctx, account, q)
		if err != nil {
			return nil, fmt.Errorf("list pins: %w", err)
		}
		return encodeJSON(NewPinResults(page, delegates))
	}
	send := func(body []byte) error { return sendBody(c, http.StatusOK, body) }
	if q.Limit > shortList {
		return a.answers.send(ctx, account, page, send)
	}
	body, err := page()
	if err != nil {
		return err
	}
	return send(body)
}

// add answers POST /pins.
func (a *api) add(c echo.Context) error {
	account, delegates, err := a.begin(c)
	if err != nil {
		return err
	}
	s, err := a.readSpec(c)
	if err != nil {
		return err
	}
	v, err := a.service.Add(c.Request().Context(), account, s)
	if err != nil {
		return fmt.Errorf("add pin: %w", err)
	}
	return sendJSON(c, http.StatusAccepted, NewPinStatus(v, delegates))
}

// get answers GET /pins/{requestid}.
func (a *api) get(c echo.Context) error {
	account, delegates, err := a.begin(c)
	if err != nil {
		return err
	}
	id, err := requestID(c)
	if err != nil {
		return err
	}
	v, err := a.service.Get(c.Request().Context(), account, id)
	if err != nil {
		return fmt.Errorf("get pin %s: %w", id, err)
	}
	return sendJSON(c, http.StatusOK, NewPinStatus(v, delegates))
}

// replace answers POST /pins/{requestid}.
func (a *api) replace(c echo.Context) error {
	account, delegates, err := a.begin(c)
	if err != nil {
		return err
	}
	id, err := requestID(c)
	if err != nil {
		return err
	}
	s, err := a.readSpec(c)
	if err != nil {
		return err
	}
	v, err := a.service.Replace(c.Request().Context(), account, id, s)
	if err != nil {
		return fmt.Errorf("replace pin %s: %w", id, err)
	}
	return sendJSON(c, http.StatusAccepted, NewPinStatus(v, delegates))
}

// remove answers DELETE /pins/{requestid}.
func (a *api) remove(c echo.Context) error {
	account, err := accountOf(c)
	if err != nil {
		return err
	}
	id, err := requestID(c)
	if err != nil {
		return err
	}
	err = a.service.Remove(c.Request().Context(), account, id)
	if errors.Is(err, pin.ErrDiskFull) { // under a lower limit than the one that refuses new pins
		return fail(http.StatusInsufficientStorage,
			"the disk is so full that not even a removal can be written: free some space on it by other means first")
	}
	if err != nil {
		return fmt.Errorf("remove pin %s: %w", id, err)
	}
	return c.NoContent(http.StatusAccepted)
}

// begin collects what an answer with a PinStatus needs. It does so before anything changes,
// so that no error follows a change.
func (a *api) begin(c echo.Context) (account string, delegates []string, err error) {
	if account, err = accountOf(c); err != nil {
		return "", nil, err
	}
	if delegates = a.delegates(); len(delegates) == 0 {
		return "", nil, unavailable("the server's node has no address yet: try again soon")
	}
	return account, delegates, nil
}

// accountOf returns the account that the request was authenticated for.
func accountOf(c echo.Context) (string, error) {
	p, ok := auth.PrincipalFrom(c.Request().Context())
	if !ok || p.Account == "" {
		return "", auth.ErrUnauthorized
	}
	return p.Account, nil
}

// requestID returns the request's path parameter. Ids are UUIDs in their canonical form, so
// anything else names nothing and does not reach the service.
func requestID(c echo.Context) (string, error) {
	id := c.Param("requestid")
	if u, err := uuid.Parse(id); err != nil || u.String() != id {
		return "", pin.ErrNotFound
	}
	return id, nil
}

// readSpec reads the Pin object of a request's body, and the request's idempotency key.
func (a *api) readSpec(c echo.Context) (pin.Spec, error) {
	r := c.Request()
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return pin.Spec{}, err
	}
	if err := checkMediaType(r.Header); err != nil {
		return pin.Spec{}, err
	}
	if r.ContentLength > maxBody {
		return pin.Spec{}, &http.MaxBytesError{Limit: maxBody}
	}
	// The reader gets net/http's own writer, beneath Echo's. With this it can close a
	// connection on which too much is coming.
	body, err := io.ReadAll(http.MaxBytesReader(c.Response().Writer, r.Body, maxBody))
	if err != nil {
		if r.Context().Err() != nil {
			return pin.Spec{}, fmt.Errorf("read body: %w", errors.Join(r.Context().Err(), err))
		}
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return pin.Spec{}, err
		}
		return pin.Spec{}, invalid("body", "ends early")
	}
	var from netip.Addr
	if a.requester != nil {
		from = a.requester(r)
	}
	s, err := parseSpec(body, from)
	s.IdempotencyKey = key
	return s, err
}

// checkMediaType accepts JSON in UTF-8 that is not compressed.
func checkMediaType(h http.Header) error {
	given := h.Get(echo.HeaderContentType)
	mediaType, params, err := mime.ParseMediaType(given)
	if err != nil || mediaType != echo.MIMEApplicationJSON {
		return fail(http.StatusUnsupportedMediaType, "Content-Type: %s must be application/json", quote(given))
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return fail(http.StatusUnsupportedMediaType, "Content-Type: the charset must be utf-8")
	}
	if coding := h.Get(echo.HeaderContentEncoding); coding != "" && !strings.EqualFold(coding, "identity") {
		return fail(http.StatusUnsupportedMediaType, "Content-Encoding: must be left out")
	}
	return nil
}

// sendJSON answers with v. Its errors are those of the connection.
func sendJSON(c echo.Context, status int, v any) error {
	body, err := encodeJSON(v)
	if err != nil {
		return err
	}
	return sendBody(c, status, body)
}

func encodeJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // so that names come back as they were written
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return buf.Bytes(), nil
}

// sendBody answers with JSON. Its errors are those of the connection.
func sendBody(c echo.Context, status int, body []byte) error {
	h := c.Response().Header()
	h.Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	if c.Request().Method == http.MethodHead {
		h.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
		return c.NoContent(status)
	}
	return c.Blob(status, echo.MIMEApplicationJSON, body)
}
