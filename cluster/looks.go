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
	// maxLook is how many CIDs one call asks about: for each that its node may have, a peer calls
	// its node, all at the same time.
	maxLook = 32
	// maxLookCalls is how many such calls there may be to one peer or node at the same time. If one of them waits for
	// a node that is slow about one CID, the other goes on meanwhile.
	maxLookCalls = 2
)

// looks are questions to one peer or node about what it has of one CID each, of which the answer is a T. While as
// many calls are under way as there may be, further questions gather and go together into the next call. So a
// question alone does not wait, and many at once take few calls. The zero value is ready.
type looks[T any] struct {
	mu      sync.Mutex
	waiting []*look[T] // no call was made for them yet
	calls   int        // under way
}

// look is a question about one CID.
type look[T any] struct {
	cid  cid.Cid
	done chan struct{} // closed with the answer
	of   T
	err  error
}

func (l *look[T]) answer(of T, err error) {
	l.of, l.err = of, err
	close(l.done)
}

// ask asks about a CID. Calls are made by call, in goroutines that work has; waited says that the questions waited for
// other calls. The error is the cause of ctx's end, or that of the call.
func (l *looks[T]) ask(ctx context.Context, c cid.Cid, work *sync.WaitGroup, call func(some []*look[T], waited bool)) (of T, err error) {
	one, begin := l.add(c)
	if begin {
		work.Go(func() {
			for some, waited := l.take(), false; some != nil; some, waited = l.take(), true {
				call(some, waited)
			}
		})
	}
	select {
	case <-one.done:
		return one.of, one.err
	case <-ctx.Done():
		return of, context.Cause(ctx)
	}
}

// add adds a question. begin says that the caller has to make calls until there is no question left.
func (l *looks[T]) add(c cid.Cid) (one *look[T], begin bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one = &look[T]{cid: c, done: make(chan struct{})}
	l.waiting = append(l.waiting, one)
	if begin = l.calls < maxLookCalls; begin {
		l.calls++
	}
	return one, begin
}

// take takes the questions of the next call, those first that wait for the longest. None is left if it gives
// none, and the caller makes no more calls.
func (l *looks[T]) take() (some []*look[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for room := maxURL; n < min(len(l.waiting), maxLook); n++ {
		if room -= len(l.waiting[n].cid.String()) + len("&arg="); room < 0 && n > 0 {
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

// answerAll makes one call for some questions. call gets each CID once, and gives got what is answered, with the CID
// that it is about; other makes an error of an answer that nobody asked for, or of none, which is "". If refused says that the
// call was, each is asked alone: a question that is not understood is no reason to leave the others without an answer.
func answerAll[T any](some []*look[T], call func(texts []string, got func(text string, of T) error) error, other func(text string) error, refused func(error) bool) {
	open := make(map[string][]*look[T], len(some)) // by CID
	var texts []string
	for _, one := range some {
		c := one.cid.KeyString()
		if open[c] == nil {
			texts = append(texts, one.cid.String())
		}
		open[c] = append(open[c], one)
	}
	err := call(texts, func(text string, of T) error {
		c, err := cid.Decode(text)
		if err != nil || open[c.KeyString()] == nil {
			return other(text)
		}
		for _, one := range open[c.KeyString()] {
			one.answer(of, nil)
		}
		delete(open, c.KeyString())
		return nil
	})
	if err == nil && len(open) > 0 {
		err = other("")
	}
	for _, same := range open {
		if len(texts) > 1 && refused(err) {
			answerAll(same, call, other, refused)
			continue
		}
		for _, one := range same {
			var none T
			one.answer(none, err)
		}
	}
}

// global asks for the peer's own copy of a CID. The error is the cause of ctx's end, or that of the call.
func (p *peer) global(ctx context.Context, c cid.Cid) (globalStatus, error) {
	return p.looks.ask(ctx, c, p.work, p.lookFor)
}

// lookFor makes one call for some questions.
func (p *peer) lookFor(some []*look[globalStatus], waited bool) {
	if _, err := p.state(); err != nil && waited { // maybe for calls that met no answer
		for _, one := range some {
			one.answer(globalStatus{}, err)
		}
		return
	}
	is := call{http.MethodGet, "/pins", nil, p.limit}
	answerAll(some, func(texts []string, got func(string, globalStatus) error) error {
		is.query = url.Values{"local": {"true"}, "cids": {strings.Join(texts, ",")}}
		return p.lookUp(is, func(of globalStatus) error { return got(of.CID, of) })
	}, func(text string) error { return p.aboutElse(is, text) }, isRefusal)
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
