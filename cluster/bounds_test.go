package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slow answers each request after some time, and takes so many at once as there are connections.
type slow struct {
	conns chan struct{}
	after time.Duration
}

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case s.conns <- struct{}{}:
		defer func() { <-s.conns }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	select {
	case <-time.After(s.after):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader("[]")),
	}, nil
}

// Ten times as many calls as a peer or a node takes at once take ten times as long, and nobody is away for that.
func TestManyCallsAtOnce(t *testing.T) {
	for name, call := range map[string]func(client *http.Client) func(context.Context) error{
		"to a peer": func(client *http.Client) func(context.Context) error {
			p := &peer{base: "http://peer", http: client, limit: 5 * time.Second, turns: newTurns(), log: slog.New(slog.DiscardHandler)}
			return func(ctx context.Context) error {
				_, err := p.metrics(ctx, "freespace")
				return err
			}
		},
		"to a node": func(client *http.Client) func(context.Context) error {
			n := newNodeRPC("http://node", client, 5*time.Second)
			return func(ctx context.Context) error { return n.get(ctx, "id", nil, nil) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one := call(&http.Client{Transport: slow{make(chan struct{}, maxCalls), time.Second}})
				var all sync.WaitGroup
				for range 10 * maxCalls {
					all.Go(func() {
						if err := one(t.Context()); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
			})
		})
	}
}

// Of the calls that wait for a peer or a node that hangs each waits once, and is told why at its end.
func TestCallsThatHang(t *testing.T) {
	const limit = 5 * time.Second
	for name, call := range map[string]func(client *http.Client) func(context.Context) error{
		"to a peer": func(client *http.Client) func(context.Context) error {
			p := &peer{base: "http://peer", http: client, limit: limit, turns: newTurns(), log: slog.New(slog.DiscardHandler)}
			return func(ctx context.Context) error {
				_, err := p.metrics(ctx, "freespace")
				if _, ofPeer := errors.AsType[*peerError](err); !ofPeer || !errors.Is(err, errSilent) {
					return fmt.Errorf("the error is %w", err)
				}
				return nil
			}
		},
		"to a node": func(client *http.Client) func(context.Context) error {
			n := newNodeRPC("http://node", client, limit)
			return func(ctx context.Context) error {
				if err := n.get(ctx, "id", nil, nil); err == nil {
					return errors.New("it answers")
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				one := call(&http.Client{Transport: slow{make(chan struct{}, maxCalls), time.Hour}})
				var all sync.WaitGroup
				for range 10 * maxCalls {
					all.Go(func() {
						if err := one(t.Context()); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				if took := time.Since(began); took != limit {
					t.Errorf("they wait for %v", took)
				}
			})
		})
	}
}
