package rpc

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// tellFirst is how long pin/add says nothing, so that a failure in that time has a status of
	// its own.
	tellFirst = time.Second
	// tellEvery is how often pin/add says how far it is. Clients cancel a pin that makes no
	// progress for minutes.
	tellEvery = time.Second
	// Stall is how long a pin waits without a block if its client cannot end it: that of pin/update,
	// which tells no progress, and all of a client that cannot hang up. It is what ipfs-cluster's
	// pin_timeout is by default.
	Stall = 2 * time.Minute
	// metaDirect is in the metadata of a direct pin: the CID as it was written.
	metaDirect = "direct"
)

// written is a pin as Kubo has it: of a CID as it is written, of its block alone (direct) or of
// all below it (recursive).
type written struct {
	cid  cid.Cid
	kind string
}

// root is the CID to be pinned: for a block alone that is its bytes.
func (w written) root() cid.Cid {
	if w.kind == direct {
		return cid.NewCidV1(cid.Raw, w.cid.Hash())
	}
	return w.cid
}

func (w written) spec(name string) pin.Spec {
	s := pin.Spec{CID: w.root().String(), Root: w.root(), Name: name}
	if w.kind == direct {
		s.Meta = map[string]string{metaDirect: w.cid.String()}
	}
	return s
}

// writtenOf is the pin that a request is.
func writtenOf(r pin.Request) written {
	if text, ok := r.Meta[metaDirect]; ok {
		if c, err := cid.Decode(text); err == nil {
			return written{c, direct}
		}
	}
	return written{r.Root, recursive}
}

// is reports whether a request is the pin.
func (w written) is(r pin.Request) bool {
	of := writtenOf(r)
	return of.kind == w.kind && of.cid.Equals(w.cid)
}

// requestAs gives the account's request for a pin; nil if there is none.
func (q *call) requestAs(w written) (*pin.View, error) {
	v, err := q.local.cfg.Pins.ByCID(q.ctx, q.account, w.root())
	if errors.Is(err, pin.ErrNotFound) || err == nil && !w.is(v.Request) {
		return nil, nil
	}
	return &v, err
}

// pinnedAs gives the request of a pin that is pinned; nil if there is none.
func (q *call) pinnedAs(w written) (*pin.View, error) {
	v, err := q.requestAs(w)
	if err != nil || v == nil {
		return nil, err
	}
	ok, err := q.isPinned(*v)
	if !ok {
		v = nil
	}
	return v, err
}

// isPinned reports whether a request is pinned. One of which damage is being mended is as well:
// else ipfs-cluster would have others take its place.
func (q *call) isPinned(v pin.View) (bool, error) {
	if v.Status != pin.Pinning {
		return v.Status == pin.Pinned, nil
	}
	return q.local.cfg.Pins.Repairing(q.ctx, v.DAG())
}

// hold gives the request for a pin, or makes one. One that failed is left from a client that went
// away, or from an answer that was cut off: it is removed and, unless anew is set, its failure told.
func (q *call) hold(w written, name string, named, anew bool) (v pin.View, made bool, err error) {
	return untilFound(func() (pin.View, bool, error) { return q.holdOnce(w, name, named, anew) })
}

func (q *call) holdOnce(w written, name string, named, anew bool) (v pin.View, made bool, err error) {
	v, made, err = q.local.cfg.Pins.AddOnce(q.ctx, q.account, w.spec(name))
	switch {
	case err != nil || made:
		return v, made, err
	case v.Status == pin.Failed:
		if err := q.toldFailure(v); !anew {
			return v, false, err
		}
		return q.local.cfg.Pins.AddOnce(q.ctx, q.account, w.spec(name))
	case !w.is(v.Request) && w.kind == recursive && writtenOf(v.Request).cid.Equals(w.cid): // a direct pin of bytes
		v, err = q.Pins.Replace(q.ctx, q.account, v.ID, w.spec(v.Name))
		return v, true, err
	case !w.is(v.Request):
		return v, false, cannot("pin: the block of %s is pinned as %s already", w.cid, writtenOf(v.Request).cid)
	case named && name != v.Name:
		s := w.spec(name)
		s.Meta, s.Origins, s.From = v.Meta, v.Origins, v.From
		v, err = q.Pins.Replace(q.ctx, q.account, v.ID, s)
		return v, true, err
	}
	return v, false, nil
}

// toldFailure gives the error of a request that failed, and removes it, as the client is told
// of it now. Another pin/add tries again.
func (q *call) toldFailure(v pin.View) error {
	if err := q.Pins.Remove(q.ctx, q.account, v.ID); err != nil && !errors.Is(err, pin.ErrNotFound) {
		return err
	}
	return cannot("pin: %s", v.Details)
}

// followed waits until a request is done, and returns it. changed tells of changes since v was read. It
// calls tell every tellEvery with what is there. It fails after stall without a block more; 0 is never.
// If the client goes away, the request is put off. One that fails is removed, unless its failure can
// only be told by cutting the answer off: then the next pin/add tells it.
func (q *call) followed(v pin.View, changed <-chan pin.Change, stall time.Duration, tell func(blocks, bytes uint64) error) (_ pin.View, err error) {
	if ok, err := q.isPinned(v); ok || err != nil {
		return v, err
	}
	leave := q.local.off.follow(aPin{q.account, v.Root, v.ID})
	defer func() { leave(v.Status) }()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	most, at := uint64(0), time.Now()
	for {
		if q.Stopping != nil && q.Stopping() {
			return v, pin.ErrClosed
		}
		ticked := false
		select {
		case <-q.ctx.Done():
			return v, context.Cause(q.ctx)
		case change := <-changed:
			if change.Pinned(v.Request) {
				v.Status, v.Totals = pin.Pinned, change.Totals
				return v, nil
			}
		case <-tick.C:
			ticked = true
		}
		next, err := q.Pins.Get(q.ctx, q.account, v.ID)
		if errors.Is(err, pin.ErrNotFound) {
			if next, err = q.replacing(v); errors.Is(err, errRemoved) {
				v.Status = pin.Failed // there is nothing to put off
			} else if err == nil {
				leave(pin.Failed)
				leave = q.local.off.follow(aPin{q.account, next.Root, next.ID})
			}
		}
		if err != nil {
			return v, err
		}
		switch v = next; v.Status {
		case pin.Pinned:
			return v, nil
		case pin.Failed:
			if q.out.c.Response().Committed {
				return v, cannot("pin: %s", v.Details)
			}
			return v, q.toldFailure(v)
		}
		if !ticked {
			continue
		}
		blocks, _ := strconv.ParseUint(v.Info["blocks"], 10, 64) // none yet is 0
		bytes, _ := strconv.ParseUint(v.Info["bytes"], 10, 64)
		if blocks > most {
			most, at = blocks, time.Now()
		}
		if stall > 0 && time.Since(at) >= stall {
			return v, cannot("pin: no block came for %v: %s", stall, v.Info["status_details"])
		}
		if err := tell(blocks, bytes); err != nil {
			return v, err
		}
	}
}

// localPinAdd pins as Kubo does.
func localPinAdd(q *call) error {
	if _, given := q.values["max-depth"]; given {
		return cannot("max-depth is not supported: a pin is of a block, or of all that is below it")
	}
	name, named := q.values["name"]
	if err := checkName(name); err != nil {
		return err
	}
	kind := recursive
	if !q.values.is("recursive", true) {
		kind = direct
	}
	roots := make([]cid.Cid, len(q.args))
	for i, arg := range q.args {
		c, err := q.toPin(arg)
		if err != nil {
			return err
		}
		roots[i] = c
	}
	out := addedPins{Pins: make([]string, len(roots))}
	tells, began := q.values.is("progress", false), time.Now()
	var before addedPins // of the roots that are pinned
	for i, c := range roots {
		v, err := q.pinAs(written{c, kind}, name, named, q.local.cfg.Stall, func(blocks, bytes uint64) error {
			blocks, bytes = before.Progress+blocks, before.Bytes+bytes
			// While there is nothing, a failure may still have a status of its own.
			if !tells || time.Since(began) < tellFirst || blocks == 0 {
				return nil
			}
			defer q.out.flush()
			return q.out.emit(addedPins{Progress: blocks, Bytes: bytes})
		})
		if err != nil {
			return err
		}
		before.Progress += v.Totals.Blocks
		before.Bytes += v.Totals.Bytes
		out.Pins[i] = q.cids.Encode(c)
	}
	if !tells {
		return q.out.one(out)
	}
	last := []any{out}
	if before.Progress > 0 {
		last = []any{before, out}
	}
	return q.out.emitLast(last...)
}

// pinAs makes a pin. As in Kubo, a CID is pinned recursively or directly, and the first wins.
func (q *call) pinAs(w written, name string, named bool, stall time.Duration, tell func(blocks, bytes uint64) error) (v pin.View, err error) {
	if w.kind == direct {
		if is, err := q.pinnedAs(written{w.cid, recursive}); err != nil {
			return v, err
		} else if is != nil {
			return v, cannot("pin: %s already pinned recursively", w.cid)
		}
	}
	leave, err := q.pinning(w.root())
	if err != nil {
		return v, err
	}
	defer leave()
	// Before the request is made, so that nothing has to be read again until there is a change.
	changed, end := q.local.cfg.Pins.Changed(pin.DAGOf(w.root()))
	defer end()
	if v, _, err = q.hold(w, name, named, false); err != nil {
		return v, err
	}
	if v, err = q.followed(v, changed, stall, tell); err != nil || w.kind == direct || w.cid.Type() == cid.Raw {
		return v, err // of bytes alone, a direct pin is the same request
	}
	_, err = q.unpinAs(written{w.cid, direct})
	return v, err
}

// pinning says that the call pins a CID, until leave is called: a request for it that was put off is not
// ended meanwhile. At the door of accounts none is put off.
func (q *call) pinning(root cid.Cid) (leave func(), err error) {
	if q.local == nil {
		return func() {}, nil
	}
	return q.local.off.pins(q.ctx, ofPin{q.account, root})
}

// unpinAs removes a pin, and reports whether there was one. What it held lingers.
func (q *call) unpinAs(w written) (some bool, err error) {
	v, err := q.requestAs(w)
	if err != nil || v == nil {
		return false, err
	}
	err = q.local.cfg.Pins.Unpin(q.ctx, q.account, w.root())
	if errors.Is(err, pin.ErrNotFound) { // somebody else removed it
		return true, nil
	}
	return true, err
}

// localPinRm unpins CIDs as they are written. One that is still being pinned is not pinned any
// more, either.
func localPinRm(q *call) error {
	removed := struct{ Pins []string }{}
	for _, arg := range q.args {
		c, err := q.toPin(arg)
		if err != nil {
			return err
		}
		some := false
		for _, kind := range []string{recursive, direct} {
			one, err := q.unpinAs(written{c, kind})
			if err != nil {
				return err
			}
			some = some || one
		}
		if !some {
			return errNotPinned
		}
		removed.Pins = append(removed.Pins, q.cids.Encode(c))
	}
	return q.out.one(removed)
}

// localPinUpdate pins one CID, of which another has a part, and unpins that if it is to. It gives
// up after Stall without progress.
func localPinUpdate(q *call) error {
	var both [2]written
	for i, arg := range q.args {
		c, err := q.toPin(arg)
		if err != nil {
			return err
		}
		both[i] = written{c, recursive}
	}
	from, to := both[0], both[1]
	old, err := q.pinnedAs(from)
	if err != nil {
		return err
	}
	if old == nil {
		return cannot("'from' cid was not recursively pinned already")
	}
	if !from.cid.Equals(to.cid) {
		already, err := q.pinnedAs(to)
		if err != nil {
			return err
		}
		if already != nil {
			return cannot("'to' cid was already recursively pinned")
		}
		if _, err := q.pinAs(to, old.Name, true, Stall, func(uint64, uint64) error { return nil }); err != nil {
			return err
		}
		if q.values.is("unpin", true) {
			if _, err := q.unpinAs(from); err != nil {
				return err
			}
		}
	}
	return q.out.one(struct{ Pins []string }{[]string{q.cids.Encode(from.cid), q.cids.Encode(to.cid)}})
}
