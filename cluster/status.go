package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
)

// PeerState is how a peer is.
type PeerState struct {
	Name, ID, URL string
	Version       string
	Err           error  // why it is away; nil is that it answers
	Node          string // the ID of its node; "" if that is not known
	NodeAway      string // why its node does not answer it; "" is that it does
	NodeKnown     bool   // cluster.nodes has its node, and that answers
	Holdfast      bool   // which is a Holdfast
	Room          uint64 // bytes; 0 is none, or not known
	// How many pins of all clients wait, are being pinned, and have failed there. Known says
	// whether that is known.
	Known                   bool
	Queued, Pinning, Failed uint64
}

// State is how the cluster is.
type State struct {
	Peers   []PeerState
	Members int // of the cluster, as far as peers know them
	Checked
}

// Checked is what checks found.
type Checked struct {
	Last  Report // of the last check that came to its end; zero if none did
	Total Report // what all found and mended since the start
	Below int    // DAGs with fewer copies than they are to have, by the last check
}

// State asks each peer how it is. One that does not answer keeps nobody waiting for long.
func (e *Engine) State(ctx context.Context) State {
	s := State{Peers: make([]PeerState, len(e.peers)), Members: e.size()}
	room, _ := e.freespace(ctx) // if no peer answers, each says so
	var all sync.WaitGroup
	for i, p := range e.peers {
		is, err := p.state()
		one := &s.Peers[i]
		*one = PeerState{Name: p.name(), ID: is.ID, URL: p.base, Version: is.Version, Err: err, Node: is.Node.ID, NodeAway: oneLine(is.Node.Error), Room: room[is.ID]}
		if err != nil {
			if errors.Is(err, errNew) {
				one.Err = errSilent
			}
			continue
		}
		all.Go(func() {
			if n := e.nodeOf(ctx, is.Node.ID); n != nil {
				_, one.Holdfast = n.state()
				one.NodeKnown = is.Node.Error == ""
			}
		})
		all.Go(func() {
			ctx, cancel := context.WithTimeoutCause(ctx, e.cfg.AnswerTime, errSilent)
			defer cancel()
			for of, err := range p.inFlight(ctx) {
				if err != nil {
					return
				}
				for _, st := range of.Peers {
					switch st.Status {
					case isQueued:
						one.Queued++
					case isPinning:
						one.Pinning++
					case isPinError, isUnpinError:
						one.Failed++
					}
				}
			}
			one.Known = true
		})
	}
	all.Wait()
	s.Checked = e.Checked()
	return s
}

// Checked says what checks found.
func (e *Engine) Checked() Checked {
	e.check.mu.Lock()
	defer e.check.mu.Unlock()
	return Checked{
		Last: e.check.last, Below: len(e.check.below),
		Total: Report{Found: maps.Clone(e.check.total.Found), Mended: maps.Clone(e.check.total.Mended)},
	}
}

// Answering gives the URLs of the peers that answer and whose nodes do, and why the others do not, from memory.
func (e *Engine) Answering() (urls []string, away map[string]error) {
	away = make(map[string]error)
	for _, p := range e.peers {
		if is, err := p.state(); err != nil {
			away[p.base] = err
		} else if is.Node.Error != "" {
			away[p.base] = fmt.Errorf("%w: %s", errNodeAway, oneLine(is.Node.Error))
		} else {
			urls = append(urls, p.base)
		}
	}
	return urls, away
}
