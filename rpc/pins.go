package rpc

import (
	"errors"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/ipfs/boxo/verifcid"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// maxName is the PSA's limit of a name, in characters.
	maxName = 255
	// tellProgress is how often pin/add tells how far it is, as Kubo does; it looks as often.
	tellProgress = 500 * time.Millisecond
	// firstLook is after how long pin/add looks first, and then after twice as long, again
	// and again: what is small, or here already, is pinned soon.
	firstLook = 2 * time.Millisecond
)

// errNotPinned has Kubo's text, which programs look for.
var errNotPinned = cannot("not pinned or pinned indirectly")

type addedPins struct {
	Pins     []string `json:",omitempty"`
	Progress uint64   `json:",omitempty"`
	Bytes    uint64   `json:",omitempty"`
}

// pinAdd makes requests, and waits until they are pinned. A client that hangs up leaves them
// as they are: they go on.
func pinAdd(q *call) error {
	name, named := q.values["name"]
	if err := checkName(name); err != nil {
		return err
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
	var before addedPins // of the roots that are pinned
	for i, c := range roots {
		v, _, err := q.requestFor(c, name, named)
		if err != nil {
			return err
		}
		if v, err = q.pinned(v, func(blocks, bytes uint64) error {
			if !q.values.is("progress", false) {
				return nil
			}
			defer q.out.flush()
			return q.out.emit(addedPins{Progress: before.Progress + blocks, Bytes: before.Bytes + bytes})
		}); err != nil {
			return err
		}
		before.Progress += v.Totals.Blocks
		before.Bytes += v.Totals.Bytes
		out.Pins[i] = q.cids.Encode(c)
	}
	if !q.values.is("progress", false) {
		return q.out.one(out)
	}
	if before.Progress > 0 {
		if err := q.out.emit(before); err != nil {
			return err
		}
	}
	err := q.out.emit(out)
	q.out.end()
	return err
}

// checkName refuses what cannot be the name of a pin.
func checkName(name string) error {
	if n := utf8.RuneCountInString(name); n > maxName {
		return refuse("pin name is %d characters (max %d)", n, maxName)
	}
	if !utf8.ValidString(name) {
		return refuse("pin name is not UTF-8")
	}
	return nil
}

// toPin finds the CID that an argument names, to be pinned. A path is followed within what
// the account may read.
func (q *call) toPin(arg string) (cid.Cid, error) {
	p, err := parsePath(arg)
	if err != nil {
		return cid.Undef, err
	}
	c := p.RootCid()
	if len(p.Segments()) > 2 {
		f, err := q.findBlock(arg)
		if err != nil {
			return cid.Undef, err
		}
		c = f.cid
	}
	return c, canPin(c)
}

// canPin refuses a CID that no pin may have.
func canPin(c cid.Cid) error {
	if !pin.CanRead(c.Type()) {
		return refuse("%s has a codec that is not supported: use %s", c, pin.CodecNames())
	}
	if err := verifcid.ValidateCid(verifcid.DefaultAllowlist, c); err != nil {
		return refuse("%s has a hash that is not supported: %v", c, err)
	}
	return nil
}

// requestFor finds the account's request for a DAG, or makes one. One that has another name, or
// failed, is replaced. Of calls at the same time one makes it.
func (q *call) requestFor(c cid.Cid, name string, named bool) (v pin.View, made bool, err error) {
	done, err := q.makes.Lock(q.ctx, q.account+string(pin.DAGOf(c)))
	if err != nil {
		return v, false, err
	}
	defer done()
	return untilFound(func() (pin.View, bool, error) { return q.findOrMake(c, name, named) })
}

func (q *call) findOrMake(c cid.Cid, name string, named bool) (v pin.View, made bool, err error) {
	s := pin.Spec{CID: c.String(), Root: c, Name: name}
	page, err := q.Pins.List(q.ctx, q.account, pin.Query{Statuses: pin.Statuses(), DAGs: []pin.DAG{s.DAG()}, Limit: 1})
	if err != nil {
		return pin.View{}, false, err
	}
	if len(page.Views) == 0 {
		v, err = q.Pins.Add(q.ctx, q.account, s)
		return v, true, err
	}
	v = page.Views[0]
	if v.Status != pin.Failed && (!named || v.Name == name) {
		return v, false, nil
	}
	if !named {
		s.Name = v.Name
	}
	s.Meta, s.Origins, s.From = v.Meta, v.Origins, v.From
	v, err = q.Pins.Replace(q.ctx, q.account, v.ID, s)
	return v, true, err
}

// replaceTries is how often a request is looked for whose predecessors other calls take away.
const replaceTries = 16

// untilFound calls find, which may replace a request, again as long as another call removes or
// replaces that one first.
func untilFound(find func() (v pin.View, made bool, err error)) (v pin.View, made bool, err error) {
	for range replaceTries {
		if v, made, err = find(); !errors.Is(err, pin.ErrNotFound) {
			return v, made, err
		}
	}
	return v, made, cannot("pin: other calls remove or replace the request again and again")
}

// pinned waits until a request is pinned, and returns it. It calls progress with what is
// there, again and again.
func (q *call) pinned(v pin.View, progress func(blocks, bytes uint64) error) (pin.View, error) {
	for look := firstLook; ; look = min(2*look, tellProgress) {
		switch v.Status {
		case pin.Pinned:
			return v, nil
		case pin.Failed:
			return v, cannot("pin: %s", v.Details)
		}
		if q.Stopping != nil && q.Stopping() {
			return v, pin.ErrClosed
		}
		select {
		case <-time.After(look):
		case <-q.ctx.Done():
			return v, q.ctx.Err()
		}
		next, err := q.Pins.Get(q.ctx, q.account, v.ID)
		if errors.Is(err, pin.ErrNotFound) {
			next, err = q.replacing(v)
		}
		if err != nil {
			return v, err
		}
		if v = next; v.Status.Done() || look < tellProgress {
			continue
		}
		blocks, _ := strconv.ParseUint(v.Info["blocks"], 10, 64) // none yet is 0
		bytes, _ := strconv.ParseUint(v.Info["bytes"], 10, 64)
		if err := progress(blocks, bytes); err != nil {
			return v, err
		}
	}
}

// errRemoved: what a call waits for is gone.
var errRemoved = cannot("pin: the request was removed meanwhile")

// replacing gives the request that is there in the place of one that is gone: another call may have given
// it another name, or have tried again. Errors: errRemoved.
func (q *call) replacing(v pin.View) (pin.View, error) {
	if q.local != nil {
		other, err := q.requestAs(writtenOf(v.Request))
		switch {
		case err != nil:
			return v, err
		case other == nil:
			return v, errRemoved
		}
		return *other, nil
	}
	page, err := q.Pins.List(q.ctx, q.account, pin.Query{Statuses: pin.Statuses(), DAGs: []pin.DAG{v.DAG()}, Limit: 1})
	switch {
	case err != nil:
		return v, err
	case len(page.Views) == 0:
		return v, errRemoved
	}
	return page.Views[0], nil
}

// pinRm removes every request that the account has for a CID, whatever its status and name.
func pinRm(q *call) error {
	removed := struct{ Pins []string }{}
	for _, arg := range q.args {
		c, err := q.toPin(arg)
		if err != nil {
			return err
		}
		if err := q.unpin(pin.DAGOf(c)); err != nil {
			return err
		}
		removed.Pins = append(removed.Pins, q.cids.Encode(c))
	}
	return q.out.one(removed)
}

// unpin removes the account's requests for a DAG. Errors: errNotPinned, if there is none.
func (q *call) unpin(d pin.DAG) error {
	for some := false; ; some = true {
		page, err := q.Pins.List(q.ctx, q.account, pin.Query{Statuses: pin.Statuses(), DAGs: []pin.DAG{d}, Limit: pageSize})
		if err != nil {
			return err
		}
		if len(page.Views) == 0 {
			if some {
				return nil
			}
			return errNotPinned
		}
		for _, v := range page.Views {
			// Somebody else may have removed it.
			if err := q.Pins.Remove(q.ctx, q.account, v.ID); err != nil && !errors.Is(err, pin.ErrNotFound) {
				return err
			}
		}
	}
}

// pinUpdate pins one thing, and unpins another when that is done. What both have is not
// fetched again, as it is here.
func pinUpdate(q *call) error {
	from, err := q.toPin(q.args[0])
	if err != nil {
		return err
	}
	to, err := q.toPin(q.args[1])
	if err != nil {
		return err
	}
	old, err := q.pinOf(pin.DAGOf(from))
	if err != nil {
		return err
	}
	if old == nil {
		return cannot("'from' cid was not recursively pinned already")
	}
	if pin.DAGOf(from) != pin.DAGOf(to) {
		already, err := q.pinOf(pin.DAGOf(to))
		if err != nil {
			return err
		}
		if already != nil {
			return cannot("'to' cid was already recursively pinned")
		}
		v, _, err := q.requestFor(to, old.Name, true)
		if err != nil {
			return err
		}
		if _, err := q.pinned(v, func(uint64, uint64) error { return nil }); err != nil {
			return err
		}
		if q.values.is("unpin", true) {
			if err := q.unpin(pin.DAGOf(from)); err != nil && !errors.Is(err, errNotPinned) {
				return err
			}
		}
	}
	return q.out.one(struct{ Pins []string }{[]string{q.cids.Encode(from), q.cids.Encode(to)}})
}
