package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Pin is the PSA's Pin object.
type Pin struct {
	CID     string            `json:"cid"`
	Name    string            `json:"name,omitempty"`
	Origins []string          `json:"origins,omitempty"`
	Meta    map[string]string `json:"meta,omitempty"`
}

// PinStatus is the PSA's PinStatus object.
type PinStatus struct {
	RequestID string            `json:"requestid"`
	Status    string            `json:"status"`
	Created   time.Time         `json:"created"`
	Pin       Pin               `json:"pin"`
	Delegates []string          `json:"delegates"`
	Info      map[string]string `json:"info"`
}

// PinResults is the PSA's PinResults object.
type PinResults struct {
	Count   int         `json:"count"`
	Results []PinStatus `json:"results"`
}

// StatusError is an answer that is no success: its status, and the Failure object of the PSA or
// of /api/auth.
type StatusError struct {
	Code    int // HTTP status
	Reason  string
	Details string
	Header  http.Header
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("status %d: %s: %s", e.Code, e.Reason, e.Details)
}

// Client calls a Holdfast server by HTTP, as one account. It is strict: a field that the PSA does
// not know is an error.
type Client struct {
	Base  string // as in run.json
	Token string
	http  *http.Client
}

// NewClient makes a client of the server at base. token may be "".
func NewClient(base, token string) *Client {
	return &Client{Base: strings.TrimSuffix(base, "/"), Token: token, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		// Longer than any answer takes, and short enough to notice a server that hangs.
		Timeout: 30 * time.Second,
	}}
}

// Login logs in to an account and returns an access token.
func Login(ctx context.Context, base, email, password string) (string, error) {
	var answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Status  string `json:"status"`
	}
	in := map[string]string{"email": email, "password": password}
	if err := NewClient(base, "").Do(ctx, http.MethodPost, "/api/auth/login", in, http.StatusOK, &answer); err != nil {
		return "", fmt.Errorf("log in: %w", err)
	}
	if answer.Status != "success" || answer.Access == "" || answer.Refresh == "" {
		return "", fmt.Errorf("log in: incomplete answer, status %q", answer.Status)
	}
	return answer.Access, nil
}

// Do sends in as JSON, unless in is nil or a reader of a finished body. It decodes the answer
// into out, unless out is nil. If the status of the answer is not want, the error is a
// [*StatusError].
func (c *Client) Do(ctx context.Context, method, path string, in any, want int, out any) error {
	var body io.Reader
	switch in := in.(type) {
	case nil:
	case io.Reader:
		body = in
	default:
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, body)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	if res.StatusCode != want {
		return fmt.Errorf("%s %s: %w", method, path, statusError(res, b))
	}
	if out == nil {
		if len(b) > 0 {
			return fmt.Errorf("%s %s: a body where none belongs: %q", method, path, b)
		}
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(out); err != nil {
		return fmt.Errorf("%s %s: decode %q: %w", method, path, b, err)
	}
	return nil
}

func statusError(res *http.Response, body []byte) *StatusError {
	e := &StatusError{Code: res.StatusCode, Header: res.Header}
	var failure struct {
		Error struct{ Reason, Details string } `json:"error"`
	}
	if err := json.Unmarshal(body, &failure); err != nil {
		e.Details = fmt.Sprintf("not JSON: %q", body)
		return e
	}
	e.Reason, e.Details = failure.Error.Reason, failure.Error.Details
	return e
}

// Add is POST /pins.
func (c *Client) Add(ctx context.Context, p Pin) (PinStatus, error) {
	var s PinStatus
	err := c.Do(ctx, http.MethodPost, "/api/psa/pins", p, http.StatusAccepted, &s)
	return s, err
}

// Get is GET /pins/{requestid}.
func (c *Client) Get(ctx context.Context, id string) (PinStatus, error) {
	var s PinStatus
	err := c.Do(ctx, http.MethodGet, "/api/psa/pins/"+url.PathEscape(id), nil, http.StatusOK, &s)
	return s, err
}

// Replace is POST /pins/{requestid}.
func (c *Client) Replace(ctx context.Context, id string, p Pin) (PinStatus, error) {
	var s PinStatus
	err := c.Do(ctx, http.MethodPost, "/api/psa/pins/"+url.PathEscape(id), p, http.StatusAccepted, &s)
	return s, err
}

// Remove is DELETE /pins/{requestid}.
func (c *Client) Remove(ctx context.Context, id string) error {
	return c.Do(ctx, http.MethodDelete, "/api/psa/pins/"+url.PathEscape(id), nil, http.StatusAccepted, nil)
}

// List is GET /pins.
func (c *Client) List(ctx context.Context, q url.Values) (PinResults, error) {
	var r PinResults
	path := "/api/psa/pins"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	err := c.Do(ctx, http.MethodGet, path, nil, http.StatusOK, &r)
	return r, err
}

// All lists every request of the account, newest first, page by page.
func (c *Client) All(ctx context.Context) ([]PinStatus, error) {
	var all []PinStatus
	q := url.Values{"status": {"queued,pinning,pinned,failed"}, "limit": {"1000"}}
	for {
		page, err := c.List(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Results...)
		if len(page.Results) == page.Count {
			return all, nil
		}
		if len(page.Results) == 0 {
			return nil, fmt.Errorf("count is %d on a page without results", page.Count)
		}
		q.Set("before", page.Results[len(page.Results)-1].Created.Format(time.RFC3339Nano))
	}
}

// WaitStatus polls a request until it has the status. If the request ends with another status,
// failed or pinned, that is an error.
func (c *Client) WaitStatus(ctx context.Context, id, status string, every time.Duration) (PinStatus, error) {
	var s PinStatus
	err := Poll(ctx, every, func() (bool, error) {
		var err error
		if s, err = c.Get(ctx, id); err != nil || s.Status == status {
			return err == nil, err
		}
		if s.Status == "failed" || s.Status == "pinned" {
			return false, fmt.Errorf("request is %s, not %s: %v", s.Status, status, s.Info)
		}
		return false, nil
	})
	if err != nil {
		return s, fmt.Errorf("wait for %s to be %s (was %s, %v): %w", id, status, s.Status, s.Info, err)
	}
	return s, nil
}
