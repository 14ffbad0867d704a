package roomtest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Records as they are on disk.
type (
	accountRecord struct {
		_       struct{} `cbor:",toarray"`
		Last    int64
		NextSeq uint64
		Clock   int64
		Back    int64
		Live    uint64
	}
	requestRecord struct {
		_       struct{} `cbor:",toarray"`
		ID      [16]byte
		Created int64
		Seq     uint64
		CID     string
		Root    []byte
		Name    string
		Meta    map[string]string
		Origins []string
	}
	holdsRecord struct {
		_      struct{} `cbor:",toarray"`
		Pinned []byte
		Tried  [][]byte
	}
	chargeRecord struct {
		_      struct{} `cbor:",toarray"`
		Pinned uint64
		Blocks uint64
		Bytes  uint64
	}
	usageRecord struct {
		_      struct{} `cbor:",toarray"`
		DAGs   uint64
		Blocks uint64
		Bytes  uint64
	}
	dagRecord struct {
		_        struct{} `cbor:",toarray"`
		Attempt  pin.Attempt
		Complete bool
		Blocks   uint64
		Bytes    uint64
		Holders  uint64
	}
)

// The codes of statuses in keys: queued, pinning, pinned, failed.
const (
	codeQueued = 1
	codePinned = 3
	codeFailed = 4
)

// chunkBits is how many requests one chunk of a list is for.
const chunkBits = 2048

// chunk is which requests are in a chunk of a list.
type chunk [chunkBits / 64]uint64

func (c *chunk) has(bit int) bool { return c[bit/64]&(1<<(bit%64)) != 0 }

func (c *chunk) add(bit int) { c[bit/64] |= 1 << (bit % 64) }

// encode is the chunk's bits, or their numbers if that is shorter.
func (c *chunk) encode() (b []byte) {
	n := 0
	for _, w := range c {
		n += bits.OnesCount64(w)
	}
	if 2*n >= chunkBits/8 {
		for _, w := range c {
			b = binary.BigEndian.AppendUint64(b, w)
		}
		return b
	}
	for bit := range chunkBits {
		if c.has(bit) {
			b = binary.BigEndian.AppendUint16(b, uint16(bit))
		}
	}
	return b
}

// encodeRow is a request's row.
func encodeRow(rec *requestRecord) []byte {
	text := func(b []byte, s string) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	b := text(binary.BigEndian.AppendUint64([]byte{1}, uint64(rec.Created)), rec.Name)
	size := 0
	for k, v := range rec.Meta {
		size += len(k) + len(v)
	}
	if size > 512 {
		return append(b, 1)
	}
	b = append(b, 0)
	for _, k := range slices.Sorted(maps.Keys(rec.Meta)) {
		b = text(text(b, k), rec.Meta[k])
	}
	return b
}

// CheckInvariants works out every list, row, holder and attempt anew from the
// requests' records, and compares that with what is stored.
func CheckInvariants(tb testing.TB, db *kv.DB) {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context()) // cleanups come here too
	Must(tb, db.View(ctx, func(r *kv.Reader) error {
		c := &checker{r: r, want: map[string]string{}, holders: map[pin.DAG]uint64{}, pinned: map[pinnedBy]uint64{}, live: map[kv.Account]map[pin.DAG]bool{}}
		if err := c.requests(); err != nil {
			return err
		}
		if err := c.lingering(); err != nil {
			return err
		}
		for _, kind := range []byte{KRow, KStatus, KByDAG, KByName} {
			if err := c.compare(kind); err != nil {
				return err
			}
		}
		if err := c.charges(); err != nil {
			return err
		}
		if err := c.counts(); err != nil {
			return err
		}
		return c.attempts()
	}))
}

// pinnedBy is an account and a DAG of which it has requests that are pinned.
type pinnedBy struct {
	account kv.Account
	dag     pin.DAG
}

type checker struct {
	r       *kv.Reader
	want    map[string]string // keys that follow from the requests
	holders map[pin.DAG]uint64
	pinned  map[pinnedBy]uint64
	live    map[kv.Account]map[pin.DAG]bool // the DAGs of requests that have not failed
}

// requests reads every request and notes what follows from it.
func (c *checker) requests() error {
	chunks := map[string]*chunk{}
	err := c.r.Scan(kv.Span{Prefix: []byte{KRequest}}, func(k, value []byte) (bool, error) {
		var rec requestRecord
		a := kv.Account(k[1:])
		if err := decode(value, &rec); err != nil {
			return false, err
		}
		if string(key(KRequest, a, uint64(rec.Created))) != string(k) {
			return false, fmt.Errorf("request %x is under key %x", rec.ID, k)
		}
		root, err := cid.Cast(rec.Root)
		if err != nil {
			return false, err
		}
		d := pin.DAGOf(root)
		number, bit := uint32(rec.Seq/chunkBits), int(rec.Seq%chunkBits)
		code, err := c.status(a, number, bit)
		if err != nil {
			return false, fmt.Errorf("request %x: %w", rec.ID, err)
		}
		c.want[string(RowKey(a, rec.Seq))] = string(encodeRow(&rec))
		lists := [][]byte{key(KStatus, code, a), key(KByDAG, d, a)}
		if rec.Name != "" {
			hash := sha256.Sum256([]byte(rec.Name))
			lists = append(lists, key(KByName, a, hash[:16]))
		}
		for _, l := range lists {
			at := string(binary.BigEndian.AppendUint32(l, number))
			if chunks[at] == nil {
				chunks[at] = new(chunk)
			}
			if chunks[at].has(bit) {
				return false, fmt.Errorf("SEQ %d of %s twice", rec.Seq, a)
			}
			chunks[at].add(bit)
		}
		return true, c.holds(a, rec.Seq, d, code)
	})
	for k, ch := range chunks {
		c.want[k] = string(ch.encode())
	}
	return err
}

// holds notes what DAGs a request holds: its own unless it has failed, and those that it
// replaced.
func (c *checker) holds(a kv.Account, seq uint64, d pin.DAG, code byte) error {
	value, found, err := c.r.Get(key(KHolds, a, seq))
	var rec holdsRecord
	if err == nil && found {
		err = decode(value, &rec)
	}
	if err != nil {
		return err
	}
	if len(rec.Pinned) > 0 {
		c.pinned[pinnedBy{a, pin.DAG(rec.Pinned)}]++
		c.holders[pin.DAG(rec.Pinned)]++
	}
	for _, tried := range rec.Tried {
		c.holders[pin.DAG(tried)]++
	}
	if code == codePinned {
		c.pinned[pinnedBy{a, d}]++
	}
	if code != codeFailed {
		if c.live[a] == nil {
			c.live[a] = map[pin.DAG]bool{}
		}
		c.live[a][d] = true
		c.holders[d]++
	}
	return nil
}

// status gives the one status whose list has a request.
func (c *checker) status(a kv.Account, number uint32, bit int) (code byte, err error) {
	for of := byte(codeQueued); of <= codeFailed; of++ {
		b, _, err := c.r.Get(key(KStatus, of, a, number))
		if err != nil {
			return 0, err
		}
		if !inChunk(b, bit) {
			continue
		}
		if code != 0 {
			return 0, fmt.Errorf("it has statuses %d and %d", code, of)
		}
		code = of
	}
	if code == 0 {
		err = fmt.Errorf("it has no status")
	}
	return code, err
}

// inChunk reports whether a chunk on disk has a bit.
func inChunk(b []byte, bit int) bool {
	if len(b) == chunkBits/8 {
		return binary.BigEndian.Uint64(b[bit/64*8:])&(1<<(bit%64)) != 0
	}
	for ; len(b) >= 2; b = b[2:] {
		if int(binary.BigEndian.Uint16(b)) == bit {
			return true
		}
	}
	return false
}

// compare looks whether the keys of a kind are those that follow.
func (c *checker) compare(kind byte) error {
	want := map[string]string{}
	for k, v := range c.want {
		if k[0] == kind {
			want[k] = v
		}
	}
	got, err := c.all(kind)
	if err == nil && !maps.Equal(got, want) {
		err = fmt.Errorf("keys of kind %x are %x, want %x", kind, got, want)
	}
	return err
}

func (c *checker) all(kind byte) (map[string]string, error) {
	got := map[string]string{}
	err := c.r.Scan(kv.Span{Prefix: []byte{kind}}, func(key, value []byte) (bool, error) {
		got[string(key)] = string(value)
		return true, nil
	})
	return got, err
}

// charges works out anew what accounts are charged.
func (c *checker) charges() error {
	stored, err := c.all(KCharge)
	if err != nil {
		return err
	}
	sums := map[kv.Account]usageRecord{}
	for k, value := range stored {
		var rec chargeRecord
		if err := decode([]byte(value), &rec); err != nil {
			return err
		}
		a := kv.Account([]byte(k[1:17]))
		d := pin.DAG(k[1+len(a)+2:])
		var dag dagRecord
		if b, found, err := c.r.Get(DAGKey(d)); err != nil {
			return err
		} else if found {
			if err := decode(b, &dag); err != nil {
				return err
			}
		}
		if n := c.pinned[pinnedBy{a, d}]; rec.Pinned != n || dag.Complete && (rec.Blocks != dag.Blocks || rec.Bytes != dag.Bytes) {
			return fmt.Errorf("%s is charged %+v for %s, of which it has %d pinned: %+v", a, rec, d, n, dag)
		}
		u := sums[a]
		sums[a] = usageRecord{DAGs: u.DAGs + 1, Blocks: u.Blocks + rec.Blocks, Bytes: u.Bytes + rec.Bytes}
	}
	if len(stored) != len(c.pinned) {
		return fmt.Errorf("%d charges, want %d", len(stored), len(c.pinned))
	}
	usage, err := c.all(KUsage)
	if err != nil {
		return err
	}
	for a, want := range sums {
		var got usageRecord
		if err := decode([]byte(usage[string(key(KUsage, a))]), &got); err != nil || got != want {
			return fmt.Errorf("usage of %s is %+v, %v, want %+v", a, got, err, want)
		}
	}
	if len(usage) != len(sums) {
		return fmt.Errorf("usage of %d accounts, want %d", len(usage), len(sums))
	}
	return nil
}

// counts compares for how many DAGs each account has live requests with its record.
func (c *checker) counts() error {
	stored, err := c.all(KAccount)
	if err != nil {
		return err
	}
	for key, value := range stored {
		var rec accountRecord
		if err := decode([]byte(value), &rec); err != nil {
			return err
		}
		a := kv.Account([]byte(key[1:]))
		if n := uint64(len(c.live[a])); rec.Live != n {
			return fmt.Errorf("%s has live requests for %d DAGs by its record, and for %d in truth", a, rec.Live, n)
		}
		delete(c.live, a)
	}
	if len(c.live) > 0 {
		return fmt.Errorf("accounts without records have live requests: %v", c.live)
	}
	return nil
}

// attempts compares the DAGs' holders, and the attempts in use.
func (c *checker) attempts() error {
	stored, err := c.all(KDAG)
	if err != nil {
		return err
	}
	inUse := map[string]string{}
	for d, want := range c.holders {
		var rec dagRecord
		if err := decode([]byte(stored[string(DAGKey(d))]), &rec); err != nil {
			return fmt.Errorf("DAG %s: %w", d, err)
		}
		if rec.Holders != want {
			return fmt.Errorf("DAG %s has %d holders, want %d", d, rec.Holders, want)
		}
		if rec.Attempt != 0 {
			inUse[string(key(KAttempt, uint64(rec.Attempt)))] = string(d)
		} else if rec.Complete {
			return fmt.Errorf("DAG %s is complete without an attempt", d)
		}
	}
	if len(stored) != len(c.holders) {
		return fmt.Errorf("%d DAGs have records, want %d", len(stored), len(c.holders))
	}
	attempts, err := c.all(KAttempt)
	if err != nil {
		return err
	}
	if !maps.Equal(attempts, inUse) {
		return fmt.Errorf("attempts %x, want %x", attempts, inUse)
	}
	deleting, err := c.all(KReleased)
	for k := range deleting {
		if _, used := inUse[string(key(KAttempt, uint64(holderAt([]byte(k)))))]; used {
			return fmt.Errorf("attempt %d is in use and deleting", holderAt([]byte(k)))
		}
	}
	return err
}

// ChangeAccount changes an account's record: how many DAGs it has live requests for, and the
// number of its next request.
func ChangeAccount(tb testing.TB, db *kv.DB, account string, change func(live, nextSeq *uint64)) {
	tb.Helper()
	Must(tb, db.Update(tb.Context(), func(t *kv.Tx) error {
		var rec accountRecord
		k := key(KAccount, AccountOf(account))
		if _, err := t.Take(k, &rec); err != nil {
			return err
		}
		change(&rec.Live, &rec.NextSeq)
		return t.Put(k, rec)
	}))
}
