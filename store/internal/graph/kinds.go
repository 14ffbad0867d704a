package graph

import (
	"fmt"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Kinds lists the kinds of records of this room, but for those without a value.
func Kinds() []kv.Kind {
	size := func(key, value []byte) error {
		_, err := decodeSize(key, value)
		return err
	}
	dag := func(_, value []byte) error {
		if !pin.DAG(value).CID().Defined() {
			return fmt.Errorf("%w: %x is no CID", diskerr.ErrUnreadable, value)
		}
		return nil
	}
	return []kv.Kind{
		{Prefix: KDAG, Name: "DAG", Check: kv.CheckRecord[DAGRecord]},
		{Prefix: KAttempt, Name: "attempt", Check: dag},
		{Prefix: kReleased, Name: "released attempt", Check: func(_, value []byte) error {
			if len(value) == 0 {
				return nil // a node
			}
			var rec releasedRecord
			return kv.Decode(value, &rec)
		}},
		{Prefix: KLinkTo, Name: "link", Check: size, Many: true},
		{Prefix: kLinkFrom, Name: "link", Check: size, Many: true},
		{Prefix: KLoose, Name: "note of a block", Check: size, Many: true},
		{Prefix: kNodes, Name: "node", Check: kv.CheckLen(8), Many: true},
		{Prefix: kNode, Name: "node", Check: dag, Many: true},
		{Prefix: kWhole, Name: "mark of being whole", Check: func(_, value []byte) error {
			if _, err := decodeKept(value); err != nil {
				return fmt.Errorf("%w: %w", diskerr.ErrUnreadable, err)
			}
			return nil
		}, Many: true},
		{Prefix: kKept, Name: "upload that is kept", Check: kv.CheckRecord[keptUploadRecord]},
		{Prefix: KPartial, Name: "note of what is there of a DAG", Check: kv.CheckRecord[partialRecord]},
	}
}
