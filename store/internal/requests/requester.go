package requests

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// requesterKey is the key of the address that a request surely came from. It is kept if one of the
// request's origins is at that address.
func requesterKey(a kv.Account, seq uint64) []byte { return seqKey(KRequester, a, seq) }

// putRequester writes where a request came from.
func putRequester(t *kv.Tx, req *request) {
	if req.from.IsValid() {
		t.Set(requesterKey(req.account, req.Seq), req.from.AsSlice())
	}
}

// dropRequester deletes that, when the request is deleted.
func dropRequester(t *kv.Tx, req *request) {
	if len(req.Origins) > 0 || req.damage != nil {
		t.Delete(requesterKey(req.account, req.Seq))
	}
}

// readRequester reads it. If it cannot be read it counts as not known, and the request goes on without
// the right that it gives.
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
	req.from, _ = netip.AddrFromSlice(value) // zero if it is none
	return nil
}

// checkRequester fails if a value is not an address.
func checkRequester(_, value []byte) error {
	if _, ok := netip.AddrFromSlice(value); !ok {
		return fmt.Errorf("%w: %d bytes are no IP address", diskerr.ErrUnreadable, len(value))
	}
	return nil
}
