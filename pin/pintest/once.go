package pintest

import (
	"net/netip"
	"reflect"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// keyOf is an idempotency key of an account.
type keyOf struct{ account, key string }

// once is what was asked for under a key.
type once struct {
	spec     pin.Spec
	replaces string // ID; "" is none
	made     string // ID
	at       time.Time
}

// made returns the request that was made under the spec's key; nil if there is none. A key
// from the future was written before the clock was set back.
func (r *Records) made(account, replaces string, s pin.Spec) (*request, error) {
	o, found := r.once[keyOf{account, s.IdempotencyKey}]
	if s.IdempotencyKey == "" || !found || r.now().Sub(o.at) >= pin.KeyAge {
		return nil, nil
	}
	was := o.spec
	was.Origins, was.From, s.Origins, s.From = nil, netip.Addr{}, nil, netip.Addr{}
	if o.replaces != replaces || !reflect.DeepEqual(was, s) {
		return nil, pin.ErrKeyReused
	}
	req, err := r.find(account, o.made)
	if err != nil {
		return nil, pin.ErrKeyGone
	}
	return req, nil
}

func (r *Records) remember(account, replaces string, s pin.Spec, req *request) {
	if s.IdempotencyKey != "" {
		r.once[keyOf{account, s.IdempotencyKey}] = once{s, replaces, req.ID, r.now()}
	}
}
