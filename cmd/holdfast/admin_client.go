package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"
)

// adminSocketName is in the data directory while a server runs there.
const adminSocketName = "admin.sock"

// adminClient speaks the admin API, to a server or within this process.
type adminClient struct {
	http    *http.Client
	running bool              // a server answers
	waits   *tellingTransport // nil within this process
	close   func() error
}

// Close ends what the client started.
func (c *adminClient) Close() error {
	c.http.CloseIdleConnections()
	return c.close()
}

const (
	// lockWait is how long a command waits for a server that starts or stops,
	// or for another command, and a server for a command: longer than a
	// server may take to stop.
	lockWait = 15 * time.Second
	lockPoll = 50 * time.Millisecond
)

// dialAdmin connects to the server of the directory, if one answers.
func dialAdmin(ctx context.Context, d *dataDir) (*adminClient, bool) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.socket(adminSocketName))
	}
	conn, err := dial(ctx, "", "")
	if err != nil {
		return nil, false
	}
	conn.Close()
	waits := &tellingTransport{Transport: &http.Transport{DialContext: dial}, who: func() string { return serverOf(d) }}
	return &adminClient{
		http:    &http.Client{Transport: waits},
		running: true,
		waits:   waits,
		close:   func() error { return nil },
	}, true
}

// connectAdmin gives a client for the directory: to its server if one runs,
// else to handlers in this process, over the store, which nobody else can open
// until the client is closed. A server or command that is busy with the
// directory is waited for.
func connectAdmin(ctx context.Context, d *dataDir, config func() (Config, error), log *slog.Logger) (*adminClient, error) {
	var c *adminClient
	err := awaitLock(ctx, d, log, func() (bool, error) {
		var ok bool
		c, ok = dialAdmin(ctx, d)
		return ok, nil
	}, func(lock *dirLock) error {
		cfg, err := config()
		if err == nil {
			c, err = localAdmin(ctx, d, lock, cfg, log)
		}
		if err != nil {
			return errors.Join(err, lock.Close())
		}
		return nil
	})
	return c, err
}

// localAdmin serves the admin API to a client in this process. It owns the
// lock if there is no error.
func localAdmin(ctx context.Context, d *dataDir, lock *dirLock, cfg Config, log *slog.Logger) (_ *adminClient, err error) {
	c, err := openCore(ctx, d, lock, cfg, log)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.store.Close())
		}
	}()
	admin := &adminServer{
		auth: c.auth, pins: c.pins, log: log,
		endpoint: func() string { return endpointAt(configuredURL(cfg.HTTP)) },
		store:    offlineStore(c.store, c.auth),
		adopt:    offlineAdopt(c.store),
	}
	handler, err := admin.handler()
	if err != nil {
		return nil, err
	}
	listener := newPipeListener()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: readHeaderTimeout}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	return &adminClient{
		http: &http.Client{Transport: &http.Transport{DialContext: listener.dial}},
		close: func() error {
			err := server.Shutdown(context.WithoutCancel(ctx))
			<-served
			return errors.Join(err, c.store.Close(), lock.Close())
		},
	}, nil
}

// do makes a request. in, if not nil, is sent as JSON; the answer is read into
// out, if that is not nil. An answer that is no success is an
// [*answerError].
func (c *adminClient) do(ctx context.Context, method, path string, query url.Values, header http.Header, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("ask the server: %w", err)
		}
		body = bytes.NewReader(b)
	}
	u := url.URL{Scheme: "http", Host: "holdfast", Path: path, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	for k, v := range header {
		r.Header[k] = v
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
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
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// answerError is an answer that is no success.
type answerError struct {
	status  int
	details string
	hint    string
}

func (e *answerError) Error() string { return e.details }

// readFailure makes an error of an answer that is no success, with the hint
// that came with it.
func readFailure(answer *http.Response) error {
	e := &answerError{status: answer.StatusCode}
	var f adminFailure
	if err := json.NewDecoder(answer.Body).Decode(&f); err == nil {
		e.details, e.hint = f.Error.Details, f.Error.Hint
	}
	if hint, err := url.QueryUnescape(answer.Header.Get(hintHeader)); err == nil && e.hint == "" {
		e.hint = hint
	}
	if e.details == "" {
		e.details = "the server answered " + answer.Status
	}
	if e.hint != "" {
		return hinted(e, e.hint)
	}
	return e
}
