package store

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/accounts"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
)

// DamagedRecord is a record, or an entry of a list, whose value cannot be read.
type DamagedRecord struct {
	Kind string // such as "pin" or "account", in words
	Key  string // in hexadecimal
	// What the record is about, as far as its key has that.
	Account   string
	RequestID string
	CID       string
	Token     string
}

// DamagedRecords is the records that cannot be read.
type DamagedRecords struct {
	BadRecords uint64
	Records    []DamagedRecord // the first maxNamed of them
}

// maxNamed is how many damaged records are listed: enough to see what they have in common.
const maxNamed = 1000

func (d *DamagedRecords) note(one DamagedRecord) error {
	d.BadRecords++
	if len(d.Records) < maxNamed {
		d.Records = append(d.Records, one)
	}
	return nil
}

// recordKinds lists the kinds of records of all rooms.
func recordKinds() []kv.Kind {
	return slices.Concat(requests.Kinds(), holding.Kinds(), accounts.Kinds())
}

// kindOf names the kind of record that is under a key.
func kindOf(key []byte) string {
	for _, k := range recordKinds() {
		if len(key) > 0 && key[0] == k.Prefix {
			return k.Name
		}
	}
	return "record"
}

// checkRecords calls report for each record that cannot be read. It leaves out the kinds of which there
// are as many as blocks, unless all is set. An error of report ends it.
func (s *Store) checkRecords(ctx context.Context, all bool, report func(DamagedRecord) error) error {
	for _, k := range recordKinds() {
		if k.Many && !all {
			continue
		}
		err := s.kv.Walk(ctx, kv.Span{Prefix: []byte{k.Prefix}}, func(key, value []byte) error {
			err := k.Check(key, value)
			if err == nil {
				return nil
			}
			if !errors.Is(err, pin.ErrUnreadable) {
				return err
			}
			s.kv.LogUnreadable(key, err)
			return report(describe(k.Name, key))
		})
		if err != nil {
			return fmt.Errorf("check the records: %w", err)
		}
	}
	return nil
}

// describe tells from a key what its record is about.
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
	case requests.KAccount, requests.KRow, requests.KByName, requests.KHolds, requests.KDetails, requests.KUsage,
		requests.KOnce, requests.KOnceOrder, requests.KRequester, accounts.KLogin:
		d.Account = id(tail)
	case requests.KRequest:
		d.Account = id(tail)
		if len(tail) == 16+8 {
			d.RequestID = requests.PlainID(int64(binary.BigEndian.Uint64(tail[16:]))).String()
		}
	case requests.KStatus:
		d.Account = id(tail[min(1, len(tail)):])
	case requests.KByDAG:
		var rest []byte
		d.CID, rest = dag(tail)
		d.Account = id(rest)
	case requests.KCharge, requests.KDelivered:
		d.Account = id(tail)
		d.CID, _ = dag(tail[min(16, len(tail)):])
	case holding.KDAG:
		d.CID, _ = dag(tail)
	case accounts.KToken:
		d.Token = id(tail)
	}
	return d
}
