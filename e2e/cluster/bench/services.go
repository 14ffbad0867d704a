package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

const password = "correct horse battery staple"

// service is a running pinning service.
type service struct {
	addr   string   // host:port
	path   string   // of its pins
	tokens []string // one for each account
	own    bool     // whether each account has pins of its own
	server *rig.Server
	stop   func() error

	mu      sync.Mutex
	clients map[[2]string]*rig.Client // by address and token
}

// startHoldfast starts one with accounts, on fresh data and with more environment.
func (b *bench) startHoldfast(ctx context.Context, env map[string]string) (*service, error) {
	d, err := b.rig.NewData()
	if err != nil {
		return nil, err
	}
	maps.Copy(d.Env, env)
	s := &service{path: "/api/psa/pins", own: true}
	for i := range accounts {
		email := fmt.Sprintf("bench%d@example.org", i)
		if err := d.AddUser(ctx, email, password); err != nil {
			return nil, err
		}
		token, err := d.AddToken(ctx, email, "bench")
		if err != nil {
			return nil, err
		}
		s.tokens = append(s.tokens, token)
	}
	if s.server, err = d.Serve(ctx); err != nil {
		return nil, err
	}
	s.addr = strings.TrimPrefix(s.server.HTTP, "http://")
	s.stop = func() error { return errors.Join(s.server.Stop(), os.RemoveAll(filepath.Dir(d.Dir))) }
	return s, nil
}

// startFront starts a Holdfast in front of a cluster.
func (w *world) startFront(ctx context.Context) (*service, error) {
	var rest, nodes []string
	for i, p := range w.Peers {
		rest = append(rest, p.REST)
		if w.kind != nulls { // which know no sizes
			nodes = append(nodes, w.nodes[i].Base())
		}
	}
	return w.b.startHoldfast(ctx, map[string]string{
		"HOLDFAST_CLUSTER_PEERS":       strings.Join(rest, ","),
		"HOLDFAST_CLUSTER_NODES":       strings.Join(nodes, ","),
		"HOLDFAST_CLUSTER_REPLICATION": "2",
	})
}

// client is the one of an account. Each keeps its connections: with one for each request there would soon
// be no port left for anything on the machine.
func (s *service) client(account int) *rig.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := [2]string{s.server.HTTP, s.tokens[account%len(s.tokens)]}
	if s.clients == nil {
		s.clients = make(map[[2]string]*rig.Client)
	}
	if s.clients[of] == nil {
		s.clients[of] = rig.NewClient(of[0], of[1])
	}
	return s.clients[of]
}

// startPinService starts Cluster's own pinning service, on one peer over a node that finds nothing.
func (b *bench) startPinService(ctx context.Context) (_ *service, err error) {
	node, err := peers.NewNull(ctx, false)
	if err != nil {
		return nil, err
	}
	ports, err := peers.FreePorts(1)
	if err != nil {
		return nil, errors.Join(err, node.Close())
	}
	s := &service{addr: fmt.Sprintf("127.0.0.1:%d", ports[0]), path: "/pins"}
	c, err := peers.Start(ctx, b.rig, peers.Options{Binary: b.service, Nodes: []string{node.Multiaddr}, BatchSize: -1, Change: func(_ int, c peers.Config) {
		api := c.Section("api", "pinsvcapi")
		api["http_listen_multiaddress"] = fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", ports[0])
		users := map[string]string{}
		for i := range accounts {
			users[userName(i)] = password
		}
		api["basic_auth_credentials"] = users
	}})
	if err != nil {
		return nil, errors.Join(err, node.Close())
	}
	s.stop = func() error { return errors.Join(c.Stop(), node.Close(), c.Peers[0].Clear()) }
	for i := range accounts {
		token, err := clusterToken(ctx, s.addr, i)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%w\n%s", err, c.Peers[0].Tail()), s.stop())
		}
		s.tokens = append(s.tokens, token)
	}
	return s, nil
}

func userName(i int) string { return fmt.Sprintf("bench%d", i) }

func clusterToken(ctx context.Context, addr string, i int) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/token", nil)
	if err != nil {
		return "", err
	}
	r.SetBasicAuth(userName(i), password)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var out struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&out); err != nil {
		return "", err
	}
	if out.Token == "" {
		return "", fmt.Errorf("cluster gives no token: %s", answer.Status)
	}
	return out.Token, nil
}
