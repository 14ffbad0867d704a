package requests

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// A request whose record cannot be read is shown with its DAG and its status, which the lists
// have, and its Created, which is in the key. To find these we go through all records of the
// account and all lists of DAGs. That is done when such a record is met, outside of changes, and
// the result is remembered. What is on disk is not changed: a file that is missing may come
// back.

// damagedRequest is what is known of a request whose record cannot be read. It is not changed
// once it is shared.
type damagedRequest struct {
	created int64
	seq     uint64
	placed  bool    // seq is known
	dag     pin.DAG // "" if it is not known
	name    string
	meta    map[string]string // nil if there is none, or it is not known
}

// damagedOf is what is known of an account's damage. It is not changed either.
type damagedOf struct {
	records map[int64]*damagedRequest // by Created
	chunks  map[uint32]*chunk         // those of records that are placed
	// rows has, by SEQ, Created of each request whose row cannot be read; noRecord if no
	// record was found for it.
	rows map[uint64]int64
}

const noRecord = -1

// damagedRequests is what is known of the damage of all accounts.
type damagedRequests struct {
	mu sync.Mutex
	of map[kv.Account]*damagedOf
}

// get gives what is known of an account; never nil.
func (d *damagedRequests) get(a kv.Account) *damagedOf {
	d.mu.Lock()
	defer d.mu.Unlock()
	if of := d.of[a]; of != nil {
		return of
	}
	return &damagedOf{}
}

func (d *damagedRequests) set(a kv.Account, of *damagedOf) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(of.records)+len(of.rows) == 0 {
		delete(d.of, a)
		return
	}
	if d.of == nil {
		d.of = map[kv.Account]*damagedOf{}
	}
	d.of[a] = of
}

// forget forgets a request that is gone, or can be read again.
func (d *damagedRequests) forget(a kv.Account, created int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.of[a]
	if old == nil || old.records[created] == nil {
		return
	}
	of := &damagedOf{records: maps.Clone(old.records), rows: old.rows}
	delete(of.records, created)
	of.index()
	d.of[a] = of
}

// index fills in the chunks.
func (of *damagedOf) index() {
	of.chunks = map[uint32]*chunk{}
	for _, d := range of.records {
		if !d.placed {
			continue
		}
		number, bit := place(d.seq)
		if of.chunks[number] == nil {
			of.chunks[number] = new(chunk)
		}
		of.chunks[number].add(bit)
	}
}

// unlearnedError: a record or a row cannot be read, and nothing was found out about it yet. It
// is no pin.ErrUnreadable.
type unlearnedError struct {
	account kv.Account
	cause   error
}

func (e *unlearnedError) Error() string { return e.cause.Error() }

// learnTries is how often something is tried that finds new damage each time.
const learnTries = 4

// learning calls do. When do finds new damage, learning finds out what it can about it, and calls
// do again.
func (s *Store) learning(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		unlearned, ok := errors.AsType[*unlearnedError](err)
		if !ok {
			return err
		}
		if try == learnTries {
			return fmt.Errorf("%w: %w", pin.ErrUnreadable, unlearned.cause)
		}
		if err := s.learnDamaged(ctx, unlearned.account); err != nil {
			return err
		}
	}
}

// ViewLearning and updateLearning are View and Update for what reads requests.
func (s *Store) ViewLearning(ctx context.Context, fn func(*kv.Reader) error) error {
	return s.learning(ctx, func() error { return s.kv.View(ctx, fn) })
}

func (s *Store) updateLearning(ctx context.Context, fn func(*kv.Tx) error) error {
	return s.learning(ctx, func() error { return s.kv.Update(ctx, fn) })
}

// learnDamaged finds the requests of an account that cannot be read, and logs those that were
// not known.
func (s *Store) learnDamaged(ctx context.Context, a kv.Account) error {
	var of *damagedOf
	err := s.kv.View(ctx, func(r *kv.Reader) (err error) {
		of, err = s.lookThrough(ctx, r, a)
		return err
	})
	if err != nil {
		return kv.Wrap(err, "look for damaged records of account %s", a)
	}
	was := s.damaged.get(a)
	s.damaged.set(a, of)
	for _, ms := range slices.Sorted(maps.Keys(of.records)) {
		if was.records[ms] == nil {
			s.log.Error("the record of a pin cannot be read", "requestid", PlainID(ms), "account", a, "cid", of.records[ms].dag)
		}
	}
	for _, seq := range slices.Sorted(maps.Keys(of.rows)) {
		if _, known := was.rows[seq]; !known {
			s.log.Error("the row of a pin cannot be read", "row", fmt.Sprintf("%x", rowKey(a, seq)), "account", a)
		}
	}
	return nil
}

// pairing matches the records of an account's requests with their SEQs. Both have the same order.
type pairing struct {
	created []int64          // Created of all records, in order
	seqOf   map[int64]uint64 // the SEQ by Created, where the record or the row can be read
	bad     map[int64]bool   // Created of the records that cannot be read
	seqs    []uint64         // the SEQs of all rows and lists, in order
	rows    map[uint64]row   // the rows that can be read, by SEQ
	at      map[uint64]int64 // the opposite of seqOf
}

// lookThrough reads all records and rows of an account.
func (s *Store) lookThrough(ctx context.Context, r *kv.Reader, a kv.Account) (*damagedOf, error) {
	p := &pairing{seqOf: map[int64]uint64{}, bad: map[int64]bool{}, rows: map[uint64]row{}, at: map[uint64]int64{}}
	if err := s.pairRows(ctx, r, a, p); err != nil {
		return nil, err
	}
	if err := s.pairRecords(ctx, r, a, p); err != nil {
		return nil, err
	}
	p.byOrder()
	of := &damagedOf{records: map[int64]*damagedRequest{}, rows: map[uint64]int64{}}
	for ms := range p.bad {
		d := &damagedRequest{created: ms}
		d.seq, d.placed = p.seqOf[ms]
		if row, ok := p.rows[d.seq]; ok && d.placed {
			d.name, d.meta = string(row.name), row.metaMap()
		}
		of.records[ms] = d
	}
	for _, seq := range p.seqs {
		if _, ok := p.rows[seq]; ok {
			continue
		}
		ms, ok := p.at[seq]
		if !ok {
			ms = noRecord
		}
		of.rows[seq] = ms
	}
	of.index()
	return of, s.findDAGs(ctx, r, a, of)
}

// pairRows reads the rows. SEQs without a row are found in the lists.
func (s *Store) pairRows(ctx context.Context, r *kv.Reader, a kv.Account, p *pairing) error {
	prefix := kv.AccountPrefix(KRow, a)
	err := r.Scan(kv.Span{Prefix: prefix, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		p.seqs = append(p.seqs, binary.BigEndian.Uint64(key[len(prefix):]))
		return true, ctx.Err()
	})
	if err != nil {
		return err
	}
	for _, seq := range p.seqs {
		b, found, err := r.Get(rowKey(a, seq))
		if err == nil && found {
			var row row
			if row, err = decodeRow(b); err == nil {
				p.rows[seq] = row
				p.pair(row.created, seq)
			}
		}
		if err != nil && !errors.Is(err, pin.ErrUnreadable) {
			return err
		}
	}
	for _, code := range byLikelihood() {
		list := statusList(code, a)
		err := r.Scan(kv.Span{Prefix: list, KeysOnly: true}, func(key, _ []byte) (bool, error) {
			number := binary.BigEndian.Uint32(key[len(list):])
			c, err := chunkAt(r, list, number)
			if errors.Is(err, pin.ErrUnreadable) {
				return true, nil
			}
			if err != nil {
				return false, err
			}
			for bit := range c.up {
				p.seqs = append(p.seqs, seqAt(number, bit))
			}
			return true, ctx.Err()
		})
		if err != nil {
			return err
		}
	}
	slices.Sort(p.seqs)
	p.seqs = slices.Compact(p.seqs)
	return nil
}

func (s *Store) pairRecords(ctx context.Context, r *kv.Reader, a kv.Account, p *pairing) error {
	prefix := kv.AccountPrefix(KRequest, a)
	err := r.Scan(kv.Span{Prefix: prefix, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		p.created = append(p.created, int64(binary.BigEndian.Uint64(key[len(prefix):])))
		return true, ctx.Err()
	})
	if err != nil {
		return err
	}
	for _, ms := range p.created {
		var rec requestRecord
		_, err := r.Take(requestKey(a, ms), &rec)
		switch {
		case errors.Is(err, pin.ErrUnreadable):
			p.bad[ms] = true
		case err != nil:
			return err
		default:
			p.pair(ms, rec.Seq)
		}
	}
	return nil
}

func (p *pairing) pair(created int64, seq uint64) { p.seqOf[created], p.at[seq] = seq, created }

// byOrder pairs the records and the SEQs that lie between two known pairs, if there are as many
// of both.
func (p *pairing) byOrder() {
	var open []int64
	next := 0 // in seqs
	flush := func(end int) {
		var free []uint64
		for ; next < end; next++ {
			if _, paired := p.at[p.seqs[next]]; !paired {
				free = append(free, p.seqs[next])
			}
		}
		if len(free) == len(open) {
			for i, ms := range open {
				p.pair(ms, free[i])
			}
		}
		open = open[:0]
	}
	for _, ms := range p.created {
		seq, paired := p.seqOf[ms]
		if !paired {
			open = append(open, ms)
			continue
		}
		end, _ := slices.BinarySearch(p.seqs, seq)
		flush(max(end, next))
	}
	flush(len(p.seqs))
}

// findDAGs finds the DAGs of damaged requests in the lists of all DAGs.
func (s *Store) findDAGs(ctx context.Context, r *kv.Reader, a kv.Account, of *damagedOf) error {
	if len(of.chunks) == 0 {
		return nil
	}
	found := map[uint64]pin.DAG{}
	err := r.Scan(kv.Span{Prefix: []byte{KByDAG}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		const tail = len(kv.Account{}) + 4
		if len(key) < 3+tail || kv.Account(key[len(key)-tail:len(key)-4]) != a {
			return true, ctx.Err()
		}
		number := binary.BigEndian.Uint32(key[len(key)-4:])
		wanted := of.chunks[number]
		if wanted == nil {
			return true, nil
		}
		d := pin.DAG(key[3 : len(key)-tail])
		c, err := chunkAt(r, dagList(d, a), number)
		if errors.Is(err, pin.ErrUnreadable) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		c.and(wanted)
		for bit := range c.up {
			found[seqAt(number, bit)] = d
		}
		return true, nil
	})
	for _, d := range of.records {
		if dag := found[d.seq]; d.placed && dag.CID().Defined() {
			d.dag = dag
		}
	}
	return err
}

// PlainID is the ID under which a request is shown whose own ID is not known: the time in its key
// and nothing else. Any other ID of the same time finds the request, too.
func PlainID(ms int64) uuid.UUID {
	var u uuid.UUID
	var t [8]byte
	binary.BigEndian.PutUint64(t[:], uint64(ms))
	copy(u[:6], t[2:])
	u[6], u[8] = 0x70, 0x80
	return u
}

// damagedAt gives what is known of a request whose record cannot be read because of cause.
// Errors: *unlearnedError.
func (s *Store) damagedAt(a kv.Account, ms int64, cause error) (*damagedRequest, error) {
	if d := s.damaged.get(a).records[ms]; d != nil {
		return d, nil
	}
	return nil, &unlearnedError{a, cause}
}

// createdByOrder gives Created of a request whose row cannot be read because of cause. found is
// false if the request has no record either. Errors: *unlearnedError.
func (s *Store) createdByOrder(a kv.Account, seq uint64, cause error) (ms int64, found bool, err error) {
	ms, known := s.damaged.get(a).rows[seq]
	if !known {
		return 0, false, &unlearnedError{a, cause}
	}
	return ms, ms != noRecord, nil
}

// damagedRequest makes a request from what is known, under an ID. The lists have its status.
func (s *Store) damagedRequest(r *kv.Reader, a kv.Account, d *damagedRequest, id uuid.UUID) (*request, error) {
	req := &request{account: a, damage: d, status: codeFailed, requestRecord: requestRecord{
		ID: id, Created: d.created, Seq: d.seq, Name: d.name, Meta: d.meta,
	}}
	if d.dag != "" {
		req.CID, req.Root = d.dag.CID().String(), d.dag.CID().Bytes()
	}
	if !d.placed {
		return req, nil
	}
	code, err := statusOf(r, a, d.seq)
	if err == nil {
		req.status = code
	} else if !errors.Is(err, pin.ErrUnreadable) && !errors.Is(err, errNoStatus) {
		return nil, err
	}
	return req, nil
}

// unknownCID stands for a CID that is not known. Clients expect a CID, and this is that of an
// empty block.
const unknownCID = "bafkqaaa"

// text tells the client what is wrong.
func (d *damagedRequest) text(status statusCode) string {
	s := "damaged: the server cannot read its record of this pin"
	if status.live() {
		s += ", which was " + string(status.status()) + "; what it holds is kept"
	} else {
		s += ", which had failed"
	}
	if d.dag == "" {
		return s + "; its CID is not known, and " + unknownCID + " stands for it: remove the pin, and pin the content again"
	}
	return s + "; replace or remove the pin, or ask the operator to retry it, which writes the record again, without its origins"
}
