package requests

import (
	"fmt"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Kinds lists the kinds of records of this room.
func Kinds() []kv.Kind {
	list := func(_, value []byte) error { return new(chunk).decode(value) }
	return []kv.Kind{
		{Prefix: KAccount, Name: "counter of an account", Check: kv.CheckRecord[accountRecord]},
		{Prefix: KRequest, Name: "pin", Check: func(_, value []byte) error {
			var rec requestRecord
			err := kv.Decode(value, &rec)
			if err == nil && rec.dag() == "" {
				err = fmt.Errorf("%w: its root is no CID", diskerr.ErrUnreadable)
			}
			return err
		}},
		{Prefix: KRow, Name: "row of a pin", Check: func(_, value []byte) error {
			_, err := decodeRow(value)
			return err
		}},
		{Prefix: KStatus, Name: "list of pins by status", Check: list},
		{Prefix: KByDAG, Name: "list of pins by CID", Check: list},
		{Prefix: KByName, Name: "list of pins by name", Check: list},
		{Prefix: KHolds, Name: "what a pin replaced", Check: kv.CheckRecord[holdsRecord]},
		{Prefix: KDetails, Name: "why a pin failed", Check: func(_, value []byte) error {
			if len(value) == 0 {
				return fmt.Errorf("%w: no bytes", diskerr.ErrUnreadable)
			}
			return nil
		}},
		{Prefix: KCharge, Name: "charge for a CID", Check: kv.CheckRecord[chargeRecord]},
		{Prefix: KRequester, Name: "where a pin came from", Check: checkRequester},
		{Prefix: KLinger, Name: "unpinned CID that lingers", Check: kv.CheckRecord[lingerRecord]},
		{Prefix: KLingers, Name: "number of an unpinned CID that lingers", Check: kv.CheckLen(8)},
		{Prefix: KLingering, Name: "sum of what lingers", Check: kv.CheckRecord[lingeringRecord]},
		{Prefix: KDelivered, Name: "who delivered a CID", Check: kv.CheckRecord[deliveredRecord]},
		{Prefix: KUsage, Name: "usage of an account", Check: kv.CheckRecord[usageRecord]},
		{Prefix: KOnce, Name: "idempotency key", Check: kv.CheckRecord[onceRecord]},
		{Prefix: KOnceOrder, Name: "order of an idempotency key", Check: kv.CheckLen(len(nameHash{}))},
	}
}
