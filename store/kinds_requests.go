package store

import (
	"fmt"

	"github.com/holdfast-ipfs/holdfast/internal/fault"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// kindsOfRequests is every kind of record of requests whose value says something.
func kindsOfRequests() []kv.Kind {
	list := func(_ kv.Codec, _, value []byte) error { return new(chunk).decode(value) }
	return []kv.Kind{
		{Prefix: kAccount, Name: "counter of an account", Check: kv.CheckRecord[accountRecord]},
		{Prefix: kRequest, Name: "pin", Check: func(c kv.Codec, _, value []byte) error {
			var rec requestRecord
			err := c.Decode(value, &rec)
			if err == nil && rec.dag() == "" {
				err = fmt.Errorf("%w: its root is no CID", fault.ErrUnreadable)
			}
			return err
		}},
		{Prefix: kRow, Name: "row of a pin", Check: func(_ kv.Codec, _, value []byte) error {
			_, err := decodeRow(value)
			return err
		}},
		{Prefix: kStatus, Name: "list of pins by status", Check: list},
		{Prefix: kByDAG, Name: "list of pins by CID", Check: list},
		{Prefix: kByName, Name: "list of pins by name", Check: list},
		{Prefix: kHolds, Name: "what a pin replaced", Check: kv.CheckRecord[holdsRecord]},
		{Prefix: kDetails, Name: "why a pin failed", Check: func(_ kv.Codec, _, value []byte) error {
			if len(value) == 0 {
				return fmt.Errorf("%w: no bytes", fault.ErrUnreadable)
			}
			return nil
		}},
		{Prefix: kCharge, Name: "charge for a CID", Check: kv.CheckRecord[chargeRecord]},
		{Prefix: kUsage, Name: "usage of an account", Check: kv.CheckRecord[usageRecord]},
	}
}
