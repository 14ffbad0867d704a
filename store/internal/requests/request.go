package requests

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// maxAhead is how far Created may run ahead of the clock when requests come faster than one in a
// millisecond. Beyond that they are refused until the clock has caught up: that slows the
// account, and does not misdate its requests.
const maxAhead = time.Second

// tick gives the next Created; clock is the time in Unix milliseconds. When the clock was set
// back, requests are dated a millisecond apart until it has caught up: to refuse them for so
// long would be an outage. The time by which it was set back does not count as running ahead.
func (r *accountRecord) tick(clock int64) (created int64, err error) {
	created = max(clock, r.Last+1)
	back := r.Back + max(r.Clock-clock, 0)
	if created == clock {
		back = 0 // caught up
	}
	if created-clock-back > maxAhead.Milliseconds() {
		return 0, pin.ErrTooFast
	}
	r.Last, r.Clock, r.Back = created, clock, back
	return created, nil
}

// statusCode is a status as it is in keys.
type statusCode byte

const (
	codeQueued statusCode = iota + 1
	codePinning
	codePinned
	codeFailed
)

// byLikelihood lists all statuses. The one that most requests have comes first.
func byLikelihood() [4]statusCode {
	return [...]statusCode{codePinned, codeQueued, codePinning, codeFailed}
}

func (c statusCode) status() pin.Status {
	switch c {
	case codeQueued:
		return pin.Queued
	case codePinning:
		return pin.Pinning
	case codePinned:
		return pin.Pinned
	default:
		return pin.Failed
	}
}

// codeOf gives the code of a status. ok is false if there is no such status.
func codeOf(s pin.Status) (c statusCode, ok bool) {
	for _, c := range byLikelihood() {
		if c.status() == s {
			return c, true
		}
	}
	return 0, false
}

// request is a request, with what is known of it from elsewhere than its record.
type request struct {
	account kv.Account
	requestRecord
	status  statusCode
	details string
	from    netip.Addr // see pin.Spec.From
	totals  pin.Totals
	damage  *damagedRequest // what is known if the record cannot be read, else nil
}

func (r *requestRecord) dag() pin.DAG {
	c, err := cid.Cast(r.Root)
	if err != nil {
		return ""
	}
	return pin.DAGOf(c)
}

// public gives the request as package pin knows it. There, one whose record cannot be read is
// Failed, whatever it holds.
func (r *request) public() (pin.Request, error) {
	if r.damage != nil {
		out := pin.Request{
			ID: uuid.UUID(r.ID).String(), Account: r.account.String(),
			Spec:    pin.Spec{CID: unknownCID, Name: r.Name, Meta: r.Meta},
			Created: time.UnixMilli(r.Created).UTC(),
			Status:  pin.Failed, Damaged: true, Details: r.damage.text(r.status),
		}
		if r.damage.dag != "" {
			out.CID, out.Root = r.CID, r.damage.dag.CID()
		}
		return out, nil
	}
	root, err := cid.Cast(r.Root)
	if err != nil {
		return pin.Request{}, fmt.Errorf("request %s: root CID: %w", uuid.UUID(r.ID), err)
	}
	out := pin.Request{
		ID:      uuid.UUID(r.ID).String(),
		Account: r.account.String(),
		Spec:    pin.Spec{CID: r.CID, Root: root, Name: r.Name, From: r.from},
		Created: time.UnixMilli(r.Created).UTC(),
		Status:  r.status.status(),
		Totals:  r.totals,
		Details: r.details,
	}
	if len(r.Meta) > 0 {
		out.Meta = r.Meta
	}
	if len(r.Origins) > 0 {
		out.Origins = r.Origins
	}
	return out, nil
}

// newID makes a UUIDv7 of the given time.
func newID(ms int64) (u uuid.UUID) {
	rand.Read(u[:]) // never fails
	var t [8]byte
	binary.BigEndian.PutUint64(t[:], uint64(ms))
	copy(u[:6], t[2:])
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	return u
}

// createdIn gives the time in a request's ID. ok is false if it is not an ID
// as we make them.
func createdIn(id string) (u uuid.UUID, ms int64, ok bool) {
	u, err := uuid.Parse(id)
	if err != nil || u.String() != id || u.Version() != 7 {
		return u, 0, false
	}
	var t [8]byte
	copy(t[2:], u[:6])
	return u, int64(binary.BigEndian.Uint64(t[:])), true
}

// requesterKey is where the address is that a request surely came from, if one of its
// origins is there.
func requesterKey(a kv.Account, seq uint64) []byte { return seqKey(KRequester, a, seq) }

// putRequester writes where a request came from.
func putRequester(t *kv.Tx, req *request) {
	if req.from.IsValid() {
		t.Set(requesterKey(req.account, req.Seq), req.from.AsSlice())
	}
}

// dropRequester deletes that with the request.
func dropRequester(t *kv.Tx, req *request) {
	if len(req.Origins) > 0 || req.damage != nil {
		t.Delete(requesterKey(req.account, req.Seq))
	}
}

// readRequester reads it. If it cannot be read it is not known any more, and the request
// goes on without the right that it gives.
func readRequester(r *kv.Reader, req *request) error {
	if len(req.Origins) == 0 {
		return nil
	}
	value, found, err := r.Get(requesterKey(req.account, req.Seq))
	if err != nil || !found {
		if errors.Is(err, pin.ErrUnreadable) {
			return nil
		}
		return err
	}
	req.from, _ = netip.AddrFromSlice(value) // else it is zero
	return nil
}

// checkRequester says what is wrong with a value.
func checkRequester(_, value []byte) error {
	if _, ok := netip.AddrFromSlice(value); !ok {
		return fmt.Errorf("%w: %d bytes are no IP address", diskerr.ErrUnreadable, len(value))
	}
	return nil
}
