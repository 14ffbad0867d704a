package pin

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/ipfs/go-cid"
)

// Status is where a request is in its life, in the words of the PSA.
type Status string

// The four statuses of the PSA; there are no others.
const (
	Queued  Status = "queued"
	Pinning Status = "pinning"
	Pinned  Status = "pinned"
	Failed  Status = "failed"
)

// Statuses lists every status, in the order of a request's life.
func Statuses() []Status { return []Status{Queued, Pinning, Pinned, Failed} }

// Done reports whether nothing more happens to a request by itself.
func (s Status) Done() bool { return s == Pinned || s == Failed }

// DAG identifies what a CID names: codec and multihash, as the bytes of a
// CIDv1. It is comparable, so it serves as a map key. The zero value names
// nothing.
type DAG string

// DAGOf gives the DAG that c names. Versions 0 and 1 of a CID name the same.
func DAGOf(c cid.Cid) DAG {
	if !c.Defined() {
		return ""
	}
	return DAG(cid.NewCidV1(c.Type(), c.Hash()).KeyString())
}

// CID gives the DAG's root as a CIDv1. The zero DAG, and one that did not come
// from [DAGOf], give [cid.Undef].
func (d DAG) CID() cid.Cid {
	c, err := cid.Cast([]byte(d))
	if err != nil {
		return cid.Undef
	}
	return c
}

// String is the CIDv1 in base32, for logs.
func (d DAG) String() string {
	if c := d.CID(); c.Defined() {
		return c.String()
	}
	return fmt.Sprintf("invalid DAG %x", string(d))
}

// LogValue makes logs show String, whatever their format.
func (d DAG) LogValue() slog.Value { return slog.StringValue(d.String()) }

// Spec is what a client asks for: the PSA's Pin object, checked.
type Spec struct {
	CID     string            // as the client wrote it, given back so
	Root    cid.Cid           // CID, parsed
	Name    string            // "" is no name
	Meta    map[string]string // nil is none
	Origins []string          // hints where it is, from [BestOrigins]; nil is none
	// IdempotencyKey is what the client knows the request by if it sends it again, as it does
	// when it got no answer. "" is none. It is not a part of what is kept as a [Request].
	IdempotencyKey string
	// From is [RequesterOf] Origins: the address that the request surely came from, if one
	// of them is there. No client can choose it.
	From netip.Addr
}

// DAG identifies what the spec's root names.
func (s Spec) DAG() DAG { return DAGOf(s.Root) }

// Request is one pin request as it is on disk.
type Request struct {
	ID      string // UUIDv7, whose timestamp is Created
	Account string // UUID of the account that made it
	Spec
	// Created has millisecond precision, is UTC, and strictly increases within an account,
	// whatever the clock does: while the clock is behind the last request, each is dated
	// a millisecond after the one before.
	Created time.Time
	Status  Status
	Totals  Totals // of its DAG, if Status is Pinned; By is for those of [Requests].Get alone
	// Damaged says that the record cannot be read. Status is Failed then, whatever the
	// request holds, and other fields have what is known by other means. If the CID is not
	// known, Root is [cid.Undef] and CID has one that stands for it.
	Damaged bool
	// Details says why the request failed, or what it waits for, in words that its user can
	// act on; "" if there is nothing to say.
	Details string
}

// Attempt identifies one try at having a DAG. No number is used twice in the life of a data
// directory. Zero is none.
type Attempt uint64
