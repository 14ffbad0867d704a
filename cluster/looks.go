package cluster

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/ipfs/go-cid"
)

const (
	// maxLook is how many CIDs one call asks a peer about: for each that its node may have, the peer calls
	// its node, all at the same time.
	maxLook = 32
	// maxLookCalls is how many such calls there may be to one peer at the same time. If one of them waits for
	// a node that is slow about one CID, the other goes on meanwhile.
	maxLookCalls = 2
)

// looks are questions to one peer about its own copies. While as many calls are under way as there may be,
// further questions gather and go together into the next call. So a question alone does not wait, and many at
// once take few calls. The zero value is ready.
type looks struct {
	mu      sync.Mutex
	waiting []*look // no call was made for them yet
	calls   int     // under way
}

// look is a question about one CID.
type look struct {
	cid  cid.Cid
	done chan struct{} // closed with the answer
	of   globalStatus
	err  error
}

func (l *look) answer(of globalStatus, err error) {
	l.of, l.err = of, err
	close(l.done)
}

// add adds a question. call says that the caller has to make calls until there is no question left.
func (l *looks) add(c cid.Cid) (one *look, call bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one = &look{cid: c, done: make(chan struct{})}
	l.waiting = append(l.waiting, one)
	if call = l.calls < maxLookCalls; call {
		l.calls++
	}
	return one, call
}

// take takes the questions of the next call, those first that wait for the longest. None is left if it gives
// none, and the caller makes no more calls.
func (l *looks) take() (some []*look) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for room := maxURL; n < min(len(l.waiting), maxLook); n++ {
		if room -= len(l.waiting[n].cid.String()) + len("%2C"); room < 0 && n > 0 {
			break
		}
	}
	if n == 0 {
		l.calls--
		return nil
	}
	some, l.waiting = l.waiting[:n:n], l.waiting[n:]
	return some
}

// global asks for the peer's own copy of a CID. The error is ctx's, or that of the call.
func (p *peer) global(ctx context.Context, c cid.Cid) (globalStatus, error) {
	one, call := p.looks.add(c)
	if call {
		p.work.Go(func() {
			for some, waited := p.looks.take(), false; some != nil; some, waited = p.looks.take(), true {
				if _, err := p.state(); err != nil && waited { // maybe for calls that met no answer
					for _, one := range some {
						one.answer(globalStatus{}, err)
					}
					continue
				}
				p.lookFor(some)
			}
		})
	}
	select {
	case <-one.done:
		return one.of, one.err
	case <-ctx.Done():
		return globalStatus{}, context.Cause(ctx)
	}
}

// lookFor makes one call for some questions. If the peer refuses that, each is asked alone: a question that
// the peer does not understand is no reason to leave the others without an answer.
func (p *peer) lookFor(some []*look) {
	open := make(map[string][]*look, len(some)) // by CID
	var texts []string
	for _, one := range some {
		c := one.cid.KeyString()
		if open[c] == nil {
			texts = append(texts, one.cid.String())
		}
		open[c] = append(open[c], one)
	}
	is := call{http.MethodGet, "/pins", url.Values{"local": {"true"}, "cids": {strings.Join(texts, ",")}}, p.limit}
	err := p.lookUp(is, func(of globalStatus) error {
		c, err := cid.Decode(of.CID)
		if err != nil || open[c.KeyString()] == nil {
			return p.aboutElse(is, of.CID)
		}
		for _, one := range open[c.KeyString()] {
			one.answer(of, nil)
		}
		delete(open, c.KeyString())
		return nil
	})
	if err == nil && len(open) > 0 {
		err = p.aboutElse(is, "")
	}
	_, refused := errors.AsType[*refusal](err)
	for _, same := range open {
		if refused && len(texts) > 1 {
			p.lookFor(same)
			continue
		}
		for _, one := range same {
			one.answer(globalStatus{}, err)
		}
	}
}

// lookUp makes a call for a list, and gives each object of it to got, whose error ends that. The peer is away if it
// does not end the list within the call's limit.
func (p *peer) lookUp(is call, got func(globalStatus) error) error {
	ctx, cancel := context.WithTimeoutCause(p.ctx, is.limit, errSilent)
	defer cancel()
	for of, err := range stream[globalStatus](ctx, p, is) {
		if err == nil {
			if err = got(of); err == nil {
				continue
			}
		} else if _, refused := errors.AsType[*refusal](err); !refused && p.ctx.Err() == nil {
			p.note(err)
		}
		return err
	}
	return nil
}
