package requests

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// List implements [pin.Requests]. For statuses, DAGs, exact names and times the bitmaps are
// enough. For other names and for metadata it reads the row of each request that is left. A
// request that cannot be read is listed and counted as failed.
func (s *Store) List(ctx context.Context, account string, q pin.Query) (page pin.Page, err error) {
	a, ok := kv.AccountOf(account)
	if !ok {
		return pin.Page{}, ctx.Err()
	}
	err = s.ViewLearning(ctx, func(r *kv.Reader) error {
		page = pin.Page{}
		l := &lister{s: s, r: r, account: a, q: q, damaged: s.damaged.get(a)}
		if err := l.prepare(); err != nil {
			return err
		}
		// From the newest chunk down to the oldest.
		for n := l.end; n > l.first; n-- {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := l.chunk(n-1, &page); err != nil {
				return err
			}
		}
		return l.totals(&page)
	})
	if err != nil {
		return pin.Page{}, kv.Wrap(err, "list pin requests")
	}
	return page, nil
}

// lister answers one query.
type lister struct {
	s       *Store
	r       *kv.Reader
	account kv.Account
	q       pin.Query
	damaged *damagedOf // what is known of requests that cannot be read
	asKept  bool       // they have the status of the lists, and not failed

	statuses []statusCode
	dags     [][]byte // the lists of the DAGs to find; none is no filter
	name     []byte   // the list of the name to find; nil is no filter
	scan     func(row) bool
	lo, hi   uint64                 // the SEQs to look at, without hi
	having   [codeFailed + 1]*chunk // by status: the requests of the chunk that was matched last
	first    uint32                 // the chunks to look at, without end
	end      uint32
}

// prepare works out which lists and which SEQs to look at.
func (l *lister) prepare() error {
	l.statuses = codesOf(l.q.Statuses)
	seen := map[pin.DAG]bool{}
	for _, d := range l.q.DAGs {
		if !seen[d] {
			seen[d] = true
			l.dags = append(l.dags, dagList(d, l.account))
		}
	}
	names := nameFilter(l.q)
	if l.q.Name != "" && names == nil {
		l.name = nameList(l.account, hashName(l.q.Name))
	}
	if names != nil || l.q.FiltersMeta() {
		l.scan = func(r row) bool { return names == nil || names(r.name) }
	}

	rec, err := l.s.accountRecord(l.r, l.account)
	if err != nil {
		return err
	}
	l.hi = rec.NextSeq
	if !l.q.Before.IsZero() {
		if l.hi, err = l.seqFrom(firstMilli(l.q.Before), rec.NextSeq); err != nil {
			return err
		}
	}
	if !l.q.After.IsZero() {
		if l.lo, err = l.seqFrom(saturate(l.q.After.UnixMilli(), 1), rec.NextSeq); err != nil {
			return err
		}
	}
	if l.lo < l.hi {
		l.first, _ = place(l.lo)
		l.end, _ = place(l.hi - 1)
		l.end++
	}
	return nil
}

// codesOf gives the codes of a query's statuses, each once.
func codesOf(statuses []pin.Status) (codes []statusCode) {
	if len(statuses) == 0 {
		return []statusCode{codePinned}
	}
	var seen [codeFailed + 1]bool
	for _, s := range statuses {
		if c, ok := codeOf(s); ok && !seen[c] {
			seen[c] = true
			codes = append(codes, c)
		}
	}
	return codes
}

// firstMilli rounds t up to a whole millisecond.
func firstMilli(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		ms = saturate(ms, 1)
	}
	return ms
}

// saturate adds two numbers, up to the largest there is.
func saturate(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// seqFrom gives the SEQ of the first request that was created at ms or later; next if there is
// none.
func (l *lister) seqFrom(ms int64, next uint64) (uint64, error) {
	ms = max(ms, 0) // as keys are unsigned
	prefix := kv.AccountPrefix(KRequest, l.account)
	seq := next
	err := l.r.Scan(kv.Span{Prefix: prefix, From: requestKey(l.account, ms), KeysOnly: true}, func(key, _ []byte) (bool, error) {
		var rec requestRecord
		_, err := l.r.Take(key, &rec)
		if errors.Is(err, pin.ErrUnreadable) {
			d, err := l.s.damagedAt(l.account, int64(binary.BigEndian.Uint64(key[len(prefix):])), err)
			if err != nil || !d.placed {
				return err == nil, err
			}
			seq = d.seq
			return false, nil
		}
		if err != nil {
			return false, err
		}
		seq = rec.Seq
		return false, nil
	})
	return seq, err
}

// chunk counts the matches of a chunk, and adds them to the page while that has room.
func (l *lister) chunk(number uint32, page *pin.Page) error {
	which, err := l.matches(number)
	if err != nil || which.empty() {
		return err
	}
	if l.scan == nil {
		n := which.count()
		page.Count += n
		return l.page(number, which, min(n, l.q.Limit-len(page.Requests)), page)
	}
	return l.rows(number, which, func(r row) error {
		if !l.scan(r) {
			return nil
		}
		if l.q.FiltersMeta() {
			ok, err := l.metaMatches(r)
			if err != nil || !ok {
				return err
			}
		}
		page.Count++
		if len(page.Requests) < l.q.Limit {
			return l.take(r.created, page)
		}
		return nil
	})
}

// page adds the n newest of a chunk's requests to the page.
func (l *lister) page(number uint32, which *chunk, n int, page *pin.Page) error {
	page.Requests = slices.Grow(page.Requests, max(n, 0)) // a request is large, to be moved again and again
	byScan := true
	for bit := range which.down {
		if n <= 0 {
			break
		}
		created, found, err := l.s.createdOf(l.r, l.account, seqAt(number, bit))
		if err != nil {
			return err
		}
		if !found {
			n--
			continue
		}
		if byScan && n >= manyRows && which.count() > (bit+1)/4 {
			have := len(page.Requests)
			err := l.pageByScan(number, which, n, created, page)
			if !errors.Is(err, pin.ErrUnreadable) {
				return err
			}
			page.Requests = page.Requests[:have]
			byScan = false // there is one that a scan cannot read
		}
		if err := l.take(created, page); err != nil {
			return err
		}
		n--
	}
	return nil
}

// pageByScan is page for many requests that are close to each other. newest is Created of the
// newest.
func (l *lister) pageByScan(number uint32, which *chunk, n int, newest int64, page *pin.Page) error {
	prefix, from := kv.AccountPrefix(KRequest, l.account), requestKey(l.account, newest)
	return l.r.Scan(kv.Span{Prefix: prefix, From: from, Reverse: true}, func(_, value []byte) (bool, error) {
		req := &request{account: l.account}
		if err := kv.Decode(value, &req.requestRecord); err != nil {
			return false, err
		}
		if req.Seq < seqAt(number, 0) {
			return false, errors.New("a listed request has no record")
		}
		if _, bit := place(req.Seq); which.has(bit) {
			n--
			if err := l.add(req, page); err != nil {
				return false, err
			}
		}
		return n > 0, nil
	})
}

// matches gives the requests of a chunk that pass those filters for which there are lists.
func (l *lister) matches(number uint32) (*chunk, error) {
	start := seqAt(number, 0)
	which := new(chunk)
	for i := range which {
		which[i] = ^uint64(0)
	}
	which.clip(int(max(l.lo, start)-start), int(min(l.hi-start, chunkBits)))
	// Names and DAGs first: they leave the fewest.
	if l.name != nil {
		c, err := chunkAt(l.r, l.name, number)
		if err != nil {
			return nil, err
		}
		which.and(c)
	}
	if l.dags != nil && !which.empty() {
		var sum chunk
		for _, list := range l.dags {
			c, err := chunkAt(l.r, list, number)
			if err != nil {
				return nil, err
			}
			sum.or(c)
		}
		which.and(&sum)
	}
	if which.empty() {
		return which, nil
	}
	var sum chunk
	for _, code := range l.statuses {
		c, err := l.ofStatus(code, number)
		if err != nil {
			return nil, err
		}
		l.having[code] = c
		sum.or(c)
	}
	which.and(&sum)
	return which, nil
}

// ofStatus gives the requests of a chunk that are shown with a status: those that cannot be read
// are shown as failed.
func (l *lister) ofStatus(code statusCode, number uint32) (*chunk, error) {
	c, err := chunkAt(l.r, statusList(code, l.account), number)
	damaged := l.damaged.chunks[number]
	if err != nil || damaged == nil || l.asKept {
		return c, err
	}
	if code != codeFailed {
		c.andNot(damaged)
		return c, nil
	}
	for _, other := range byLikelihood() {
		o, err := chunkAt(l.r, statusList(other, l.account), number)
		if err != nil {
			return nil, err
		}
		o.and(damaged) // one that went meanwhile is on no list
		c.or(o)
	}
	return c, nil
}

// metaMatches reports whether a request has all the metadata of the query.
func (l *lister) metaMatches(r row) (bool, error) {
	if !r.large {
		if l.q.PrintedMeta == "" {
			return r.hasMeta(l.q.Meta), nil
		}
		meta, err := r.metadata()
		return err == nil && l.q.HasMeta(meta), err
	}
	var rec requestRecord
	found, err := l.r.Take(requestKey(l.account, r.created), &rec)
	if errors.Is(err, pin.ErrUnreadable) {
		return false, nil // whether it matches is not known
	}
	if err != nil || !found {
		return false, err
	}
	return l.q.HasMeta(rec.Meta), nil
}

// take reads a request and adds it to the page.
func (l *lister) take(created int64, page *pin.Page) error {
	req := &request{account: l.account}
	found, err := l.r.Take(requestKey(l.account, created), &req.requestRecord)
	if errors.Is(err, pin.ErrUnreadable) {
		d := l.damaged.records[created]
		if d == nil {
			return &unlearnedError{l.account, err}
		}
		if req, err = l.s.damagedRequest(l.r, l.account, d, PlainID(created)); err != nil {
			return err
		}
		p, err := req.public()
		page.Requests = append(page.Requests, p)
		return err
	}
	if err != nil {
		return err
	}
	if !found {
		return errors.New("a listed request has no record")
	}
	if l.damaged.records[created] != nil { // it can be read again
		l.s.damaged.forget(l.account, created)
		return &unlearnedError{l.account, errors.New("what could not be read can be read again")}
	}
	return l.add(req, page)
}

// add adds a request to the page whose record was read.
func (l *lister) add(req *request, page *pin.Page) (err error) {
	if req.status, err = l.statusOf(req.Seq); err != nil {
		return err
	}
	if req.status != codePinned { // the totals of pinned ones are read together
		if err := l.s.readRest(l.r, req); err != nil {
			return err
		}
	}
	p, err := req.public()
	if err == nil {
		page.Requests = append(page.Requests, p)
	}
	return err
}

// totals fills in the totals of the pinned requests of a page. It reads those of a DAG once.
func (l *lister) totals(page *pin.Page) (err error) {
	read := make(map[pin.DAG]pin.Totals, len(page.Requests))
	for i := range page.Requests {
		r := &page.Requests[i]
		if r.Status != pin.Pinned {
			continue
		}
		d := r.DAG()
		t, ok := read[d]
		if !ok {
			if t, err = l.s.pinnedTotals(l.r, l.account, d); err != nil {
				return err
			}
			read[d] = t
		}
		r.Totals = t
	}
	return nil
}

// statusOf gives the status of a request of the chunk that was matched last. It is one of the
// query's.
func (l *lister) statusOf(seq uint64) (statusCode, error) {
	_, bit := place(seq)
	for _, code := range l.statuses {
		if l.having[code].has(bit) {
			return code, nil
		}
	}
	return 0, errors.New("a listed request has none of the statuses")
}
