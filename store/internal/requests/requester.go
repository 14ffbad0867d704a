package requests

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

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
