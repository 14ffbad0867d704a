package store

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// DamagedRecord is a record, or an entry of a list, whose value cannot be read.
type DamagedRecord struct {
	Kind string `json:"kind"` // such as "pin" or "account", in words
	Key  string `json:"key"`  // in hexadecimal
	// What it is about, as far as its key says so.
	Account   string `json:"account,omitempty"`
	RequestID string `json:"requestid,omitempty"`
	CID       string `json:"cid,omitempty"`
	Token     string `json:"token,omitempty"`
}

// DamagedRecords is what was found of records that cannot be read.
type DamagedRecords struct {
	BadRecords uint64          `json:"damaged_records"`
	Records    []DamagedRecord `json:"damaged_record_list,omitempty"` // at most maxNamed of them
}

// maxNamed is how many damaged records are named: enough to see what they have in common.
const maxNamed = 1000

func (d *DamagedRecords) note(one DamagedRecord) error {
	d.BadRecords++
	if len(d.Records) < maxNamed {
		d.Records = append(d.Records, one)
	}
	return nil
}

// String names the record for people.
func (d DamagedRecord) String() string {
	s := d.Kind
	for _, of := range [][2]string{{"requestid", d.RequestID}, {"cid", d.CID}, {"token", d.Token}, {"account", d.Account}} {
		if of[1] != "" {
			s += " " + of[0] + "=" + of[1]
		}
	}
	return s + " (key " + d.Key + ")"
}

// recordKind is what is under keys that begin with one byte.
type recordKind struct {
	prefix byte
	name   string
	// check says whether a value is as it was written. Errors: ErrUnreadable.
	check func(s *Store, key, value []byte) error
	many  bool // there are as many as blocks, so that only a check of all of them looks
}

// recordOf checks a value that [codec] encodes.
func recordOf[T any](s *Store, _, value []byte) error {
	var rec T
	return s.codec.Decode(value, &rec)
}

// recordKinds is every kind whose value says something.
func recordKinds() []recordKind {
	list := func(_ *Store, _, value []byte) error { return new(chunk).decode(value) }
	size := func(_ *Store, key, value []byte) error {
		_, err := decodeSize(key, value)
		return err
	}
	dag := func(_ *Store, _, value []byte) error {
		if !pin.DAG(value).CID().Defined() {
			return fmt.Errorf("%w: %x is no CID", ErrUnreadable, value)
		}
		return nil
	}
	bytes := func(n int) func(*Store, []byte, []byte) error {
		return func(_ *Store, _, value []byte) error {
			if len(value) != n {
				return fmt.Errorf("%w: %d bytes, not %d", ErrUnreadable, len(value), n)
			}
			return nil
		}
	}
	return []recordKind{
		{prefix: kAccount, name: "counter of an account", check: recordOf[accountRecord]},
		{prefix: kRequest, name: "pin", check: func(s *Store, _, value []byte) error {
			var rec requestRecord
			err := s.codec.Decode(value, &rec)
			if err == nil && rec.dag() == "" {
				err = fmt.Errorf("%w: its root is no CID", ErrUnreadable)
			}
			return err
		}},
		{prefix: kRow, name: "row of a pin", check: func(_ *Store, _, value []byte) error {
			_, err := decodeRow(value)
			return err
		}},
		{prefix: kStatus, name: "list of pins by status", check: list},
		{prefix: kByDAG, name: "list of pins by CID", check: list},
		{prefix: kByName, name: "list of pins by name", check: list},
		{prefix: kHolds, name: "what a pin replaced", check: recordOf[holdsRecord]},
		{prefix: kDetails, name: "why a pin failed", check: func(_ *Store, _, value []byte) error {
			if len(value) == 0 {
				return fmt.Errorf("%w: no bytes", ErrUnreadable)
			}
			return nil
		}},
		{prefix: kCharge, name: "charge for a CID", check: recordOf[chargeRecord]},
		{prefix: kUsage, name: "usage of an account", check: recordOf[usageRecord]},
		{prefix: kDAG, name: "DAG", check: recordOf[dagRecord]},
		{prefix: kAttempt, name: "attempt", check: dag},
		{prefix: kReleased, name: "released attempt", check: func(s *Store, _, value []byte) error {
			if len(value) == 0 {
				return nil // a node
			}
			var rec releasedRecord
			return s.codec.Decode(value, &rec)
		}},
		{prefix: kLinkTo, name: "link", check: size, many: true},
		{prefix: kLinkFrom, name: "link", check: size, many: true},
		{prefix: kLoose, name: "note of a block", check: size, many: true},
		{prefix: kNodes, name: "node", check: bytes(8), many: true},
		{prefix: kNode, name: "node", check: dag, many: true},
		{prefix: kWhole, name: "mark of being whole", check: func(_ *Store, _, value []byte) error {
			if _, err := decodeKept(value); err != nil {
				return fmt.Errorf("%w: %w", ErrUnreadable, err)
			}
			return nil
		}, many: true},
		{prefix: kLogin, name: "account", check: recordOf[loginRecord]},
		{prefix: kEmail, name: "address of an account", check: bytes(len(kv.Account{}))},
		{prefix: kToken, name: "token", check: recordOf[tokenRecord]},
		{prefix: kInvite, name: "invitation", check: recordOf[inviteRecord]},
		{prefix: kEvent, name: "event of the audit record", check: recordOf[eventRecord]},
	}
}

// kindOf names what is under a key.
func kindOf(key []byte) string {
	for _, k := range recordKinds() {
		if len(key) > 0 && key[0] == k.prefix {
			return k.name
		}
	}
	return "record"
}

// checkRecords tells report of each record that cannot be read; of those of which there
// are as many as blocks only if all is set. An error of report ends it.
func (s *Store) checkRecords(ctx context.Context, all bool, report func(DamagedRecord) error) error {
	for _, k := range recordKinds() {
		if k.many && !all {
			continue
		}
		err := s.kv.Walk(ctx, kv.Span{Prefix: []byte{k.prefix}}, func(key, value []byte) error {
			err := k.check(s, key, value)
			if err == nil {
				return nil
			}
			if !errors.Is(err, ErrUnreadable) {
				return err
			}
			s.kv.TellUnreadable(key, err)
			return report(describe(k.name, key))
		})
		if err != nil {
			return fmt.Errorf("look through the records: %w", err)
		}
	}
	return nil
}

// describe says what a key is about.
func describe(kind string, key []byte) DamagedRecord {
	d := DamagedRecord{Kind: kind, Key: hex.EncodeToString(key)}
	tail := key[1:]
	id := func(b []byte) string {
		if len(b) < 16 {
			return ""
		}
		return uuid.UUID(b[:16]).String()
	}
	dag := func(b []byte) (of string, rest []byte) {
		if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
			return "", nil
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		return pin.DAG(b[2:n]).String(), b[n:]
	}
	switch key[0] {
	case kAccount, kRow, kByName, kHolds, kDetails, kUsage, kLogin:
		d.Account = id(tail)
	case kRequest:
		d.Account = id(tail)
		if len(tail) == 16+8 {
			d.RequestID = plainID(int64(binary.BigEndian.Uint64(tail[16:]))).String()
		}
	case kStatus:
		d.Account = id(tail[min(1, len(tail)):])
	case kByDAG:
		var rest []byte
		d.CID, rest = dag(tail)
		d.Account = id(rest)
	case kCharge:
		d.Account = id(tail)
		d.CID, _ = dag(tail[min(16, len(tail)):])
	case kDAG:
		d.CID, _ = dag(tail)
	case kToken:
		d.Token = id(tail)
	}
	return d
}
