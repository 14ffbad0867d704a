package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"
)

// apiRequest makes a request to one of the server's own APIs, as a client with the token of the session
// would make it. in is sent as JSON; nil is no body.
func (c *call) apiRequest(method, path string, in any) (*http.Request, error) {
	body := io.Reader(http.NoBody) // handlers of a server may read it
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("call %s: %w", path, err)
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(c.conn, method, path, body)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", path, err)
	}
	from := c.Request()
	r.RemoteAddr, r.TLS, r.Host = from.RemoteAddr, from.TLS, from.Host
	for name, values := range from.Header { // by which the address of the client is known
		if name == "X-Forwarded-For" || name == "X-Real-Ip" {
			r.Header[name] = values
		}
	}
	r.Header.Set(echo.HeaderAuthorization, "Bearer "+c.token)
	if in != nil {
		r.Header.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	}
	return r, nil
}

// api calls one of the server's own APIs and reads the answer into out, unless that is nil. An
// error of the API is an error for people, which the API has logged if it is a fault.
func (c *call) api(method, path string, in, out any) error {
	r, err := c.apiRequest(method, path, in)
	if err != nil {
		return err
	}
	w := &recorder{header: http.Header{}}
	c.ui.API.ServeHTTP(w, r)
	if w.status >= 400 {
		return c.apiFailed(w.status, w.header, w.body.Bytes())
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(w.body.Bytes(), out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return nil
}

// apiFailed is the error of an answer of an API. A fault has been logged, under an ID that goes
// on.
func (c *call) apiFailed(status int, h http.Header, body []byte) *failure {
	if id := h.Get(echo.HeaderXRequestID); id != "" && !c.Response().Committed {
		c.Response().Header().Set(echo.HeaderXRequestID, id)
	}
	return apiFailure(status, body)
}

// apiFailure reads the error of an API, in any of their forms.
func apiFailure(status int, body []byte) *failure {
	var f struct {
		Error   struct{ Details string }
		Message string // of Kubo's RPC
	}
	_ = json.Unmarshal(body, &f) // else there is only the status
	for _, text := range []string{f.Error.Details, f.Message, http.StatusText(status)} {
		if text != "" {
			return &failure{status, text}
		}
	}
	return &failure{status, fmt.Sprintf("the server answers %d", status)}
}

// recorder keeps an answer in memory.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Flush has nothing to send.
func (w *recorder) Flush() {}
