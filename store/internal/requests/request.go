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

// maxAhead is how far Created may run ahead of the clock because requests came
// faster than milliseconds. Then they wait for the clock, so that an account is
// slowed and not misdated.
const maxAhead = time.Second

// tick gives the next Created, at a time of the clock in Unix milliseconds.
// When the clock was set back, requests are dated a millisecond apart until it
// has caught up: refusing them for so long would be an outage. How far it was
// set back does not count as running ahead.
func (r *AccountRecord) tick(clock int64) (created int64, err error) {
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
	CodePinned
	CodeFailed
)

// byLikelihood is every status, the one that most requests have first.
func byLikelihood() [4]statusCode {
	return [...]statusCode{CodePinned, codeQueued, codePinning, CodeFailed}
}

func (c statusCode) status() pin.Status {
	switch c {
	case codeQueued:
		return pin.Queued
	case codePinning:
		return pin.Pinning
	case CodePinned:
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

// Request is a request with what is known of it outside of its record.
type Request struct {
	Account kv.Account
	RequestRecord
	Status  statusCode
	details string
	from    netip.Addr // see pin.Spec.From
	totals  pin.Totals
	damage  *damagedRequest // not nil: the record cannot be read, and this is what is known
}

func (r *Request) DAG() pin.DAG { return r.RequestRecord.dag() }

func (r *RequestRecord) dag() pin.DAG {
	c, err := cid.Cast(r.Root)
	if err != nil {
		return ""
	}
	return pin.DAGOf(c)
}

// public gives the request as package pin knows it. One whose record cannot be read is
// Failed there, whatever it holds.
func (r *Request) public() (pin.Request, error) {
	if r.damage != nil {
		out := pin.Request{
			ID: uuid.UUID(r.ID).String(), Account: r.Account.String(),
			Spec:    pin.Spec{CID: UnknownCID, Name: r.Name, Meta: r.Meta},
			Created: time.UnixMilli(r.Created).UTC(),
			Status:  pin.Failed, Damaged: true, Details: r.damage.text(r.Status),
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
		Account: r.Account.String(),
		Spec:    pin.Spec{CID: r.CID, Root: root, Name: r.Name, From: r.from},
		Created: time.UnixMilli(r.Created).UTC(),
		Status:  r.Status.status(),
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
func putRequester(t *kv.Tx, req *Request) {
	if req.from.IsValid() {
		t.Set(requesterKey(req.Account, req.Seq), req.from.AsSlice())
	}
}

// dropRequester deletes that with the request.
func dropRequester(t *kv.Tx, req *Request) {
	if len(req.Origins) > 0 || req.damage != nil {
		t.Delete(requesterKey(req.Account, req.Seq))
	}
}

// readRequester reads it. If it cannot be read it is not known any more, and the request
// goes on without the right that it gives.
func readRequester(r *kv.Reader, req *Request) error {
	if len(req.Origins) == 0 {
		return nil
	}
	value, found, err := r.Get(requesterKey(req.Account, req.Seq))
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
func checkRequester(_ kv.Codec, _, value []byte) error {
	if _, ok := netip.AddrFromSlice(value); !ok {
		return fmt.Errorf("%w: %d bytes are no IP address", diskerr.ErrUnreadable, len(value))
	}
	return nil
}
