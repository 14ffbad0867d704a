package pintest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// RunModel makes the given number of random calls, each on what open makes and on [Records],
// and checks that both return the same. From time to time it lists by random queries, pages
// through the results, and closes and reopens both.
func RunModel(t *testing.T, open Open, seed uint64, calls int) {
	clock := newClock()
	recs, reopen := open(t, clock.now)
	m := &model{
		T: t, rng: rand.New(rand.NewPCG(seed, 0)), clock: clock,
		real: recs, fake: NewRecords(clock.now),
		ids: map[string]string{}, attempts: map[pin.Attempt]pin.Attempt{0: 0}, quotas: map[string]pin.Quota{},
	}
	m.limit()
	t.Logf("seed %d", seed)
	for n := range calls {
		m.step = n
		m.clock.move(time.Duration(m.rng.IntN(4)) * 400 * time.Microsecond)
		m.call()
		if n%20 == 0 {
			m.compareAll()
		}
		if n%(calls/5+1) == calls/5 {
			m.real, m.fake = reopen(), m.fake.Reopen()
			m.limit()
			m.compareAll()
		}
		if t.Failed() {
			t.Fatalf("first difference at call %d of seed %d", n, seed)
		}
	}
}

type model struct {
	*testing.T
	rng      *rand.Rand
	clock    *clock
	step     int
	real     pin.Records
	fake     *Records
	pairs    []pair                      // every request that was added
	ids      map[string]string           // from the fake's to the real ones
	attempts map[pin.Attempt]pin.Attempt // from the fake's to the real ones
	quotas   map[string]pin.Quota        // of accounts
}

// limit gives both the accounts' quotas.
func (m *model) limit() {
	of := QuotaFunc(func(account string) pin.Quota { return m.quotas[account] })
	m.real.SetQuotas(of)
	m.fake.SetQuotas(of)
}

// pair is one request as each of both returned it.
type pair struct{ fake, real pin.Request }

func (m *model) account() string { return []string{alice, bob}[m.rng.IntN(2)] }

func (m *model) dag() pin.DAG { return DAGSpec(m.rng.IntN(8)).DAG() }

func (m *model) name() string {
	return []string{"", "a", "A", "ab", "Straße", "k", "\u212a"}[m.rng.IntN(7)]
}

func (m *model) spec() pin.Spec {
	s := named(m.rng.IntN(8), m.name())
	if m.rng.IntN(2) == 0 {
		s.Meta = map[string]string{"k": fmt.Sprint(m.rng.IntN(3)), "step": fmt.Sprint(m.step)}
	}
	switch m.rng.IntN(6) {
	case 0: // it may have been used, mostly for something else
		s.IdempotencyKey = fmt.Sprint(m.rng.IntN(20))
	case 1: // and mostly for the same
		s.IdempotencyKey = s.CID + s.Name
	}
	return s
}

// some returns one of the newer requests; it may be removed already.
func (m *model) some() pair {
	if len(m.pairs) == 0 {
		return pair{pin.Request{Account: alice}, pin.Request{Account: alice}}
	}
	return m.pairs[len(m.pairs)-1-m.rng.IntN(min(len(m.pairs), 60))]
}

// call makes one random change.
func (m *model) call() {
	ctx := m.Context()
	details := fmt.Sprint("why ", m.step)
	if m.rng.IntN(10) == 0 { // often without a limit; a DAG has up to 256 bytes
		m.quotas[m.account()] = pin.Quota{
			Bytes: uint64(max(m.rng.IntN(1600)-800, 0)),
			Pins:  uint64(max(m.rng.IntN(240)-180, 0)),
		}
	}
	switch m.rng.IntN(10) {
	case 0, 1, 2:
		account, spec := m.account(), m.spec()
		f, ferr := m.fake.Add(ctx, account, spec)
		r, rerr := m.real.Add(ctx, account, spec)
		m.added("Add", f, r, ferr, rerr)
	case 3:
		p, spec := m.some(), m.spec()
		f, fold, frel, ferr := m.fake.Replace(ctx, p.fake.Account, p.fake.ID, spec)
		r, rold, rrel, rerr := m.real.Replace(ctx, p.real.Account, p.real.ID, spec)
		m.added("Replace", f, r, ferr, rerr)
		m.sameRequest("Replace's old one", fold, rold)
		m.sameReleased("Replace", frel, rrel)
	case 4:
		if m.rng.IntN(2) == 0 {
			m.grace()
			return
		}
		p := m.some()
		f, frel, ferr := m.fake.Remove(ctx, p.fake.Account, p.fake.ID)
		r, rrel, rerr := m.real.Remove(ctx, p.real.Account, p.real.ID)
		m.sameError("Remove", ferr, rerr)
		m.sameRequest("Remove", f, r)
		m.sameReleased("Remove", frel, rrel)
	case 5:
		p := m.some()
		f, ferr := m.fake.Retry(ctx, p.fake.Account, p.fake.ID)
		r, rerr := m.real.Retry(ctx, p.real.Account, p.real.ID)
		m.sameError("Retry", ferr, rerr)
		m.sameRequest("Retry", f, r)
	case 6:
		account, d, bytes := m.account(), m.dag(), uint64(m.rng.IntN(1500))
		fn, frel, ferr := m.fake.FailOverQuota(ctx, account, d, bytes)
		rn, rrel, rerr := m.real.FailOverQuota(ctx, account, d, bytes)
		m.sameError("FailOverQuota", ferr, rerr)
		m.sameReleased("FailOverQuota", frel, rrel)
		if fn != rn {
			m.Errorf("FailOverQuota: %d requests failed, want %d", rn, fn)
		}
	case 7, 8:
		m.begin(m.dag(), m.rng.IntN(2) == 0)
	case 9:
		if m.rng.IntN(3) > 0 {
			m.dropped()
			return
		}
		d := m.dag()
		if real, ok := m.real.(pin.Refetcher); ok && m.rng.IntN(2) == 0 {
			f, ferr := m.fake.Refetch(ctx, d)
			r, rerr := real.Refetch(ctx, d)
			m.sameError("Refetch", ferr, rerr)
			if (len(f) == 0) != (len(r) == 0) {
				m.Errorf("Refetch: %d requests, want %d", len(r), len(f))
			}
			return
		}
		frel, ferr := m.fake.Fail(ctx, d, details)
		rrel, rerr := m.real.Fail(ctx, d, details)
		m.sameError("Fail", ferr, rerr)
		m.sameReleased("Fail", frel, rrel)
	}
}

// begin begins a DAG and may complete it too.
func (m *model) begin(d pin.DAG, complete bool) {
	f, fdone, ferr := m.fake.Begin(m.Context(), d)
	r, rdone, rerr := m.real.Begin(m.Context(), d)
	m.sameError("Begin", ferr, rerr)
	if fdone != rdone {
		m.Errorf("Begin: complete %v, want %v", rdone, fdone)
	}
	if ferr != nil {
		return
	}
	if known, ok := m.attempts[f]; ok && known != r {
		m.Errorf("Begin: attempt %d, want %d", r, known)
	}
	m.attempts[f] = r
	if complete {
		t := pin.Totals{Blocks: 1 + uint64(d[len(d)-1]), Bytes: 2 + uint64(d[len(d)-2])}
		ffailed, frel, ferr := m.fake.Complete(m.Context(), d, f, t)
		rfailed, rrel, rerr := m.real.Complete(m.Context(), d, r, t)
		if ffailed != rfailed {
			m.Errorf("Complete made %d requests Failed, want %d", rfailed, ffailed)
		}
		m.sameError("Complete", ferr, rerr)
		m.sameReleased("Complete", frel, rrel)
	}
}

// dropped forgets one of the attempts, which may be in use.
func (m *model) dropped() {
	f := pin.Attempt(m.rng.IntN(len(m.attempts)))
	ferr := m.fake.Dropped(m.Context(), f)
	rerr := m.real.Dropped(m.Context(), m.attempts[f])
	if (ferr == nil) != (rerr == nil) {
		m.Errorf("Dropped: %v, want %v", rerr, ferr)
	}
}

func (m *model) added(method string, f, r pin.Request, ferr, rerr error) {
	m.Helper()
	m.sameError(method, ferr, rerr)
	if ferr != nil || rerr != nil {
		return
	}
	if made, known := m.ids[f.ID]; known { // by an earlier call under the same key
		if made != r.ID {
			m.Errorf("%s: request %s, want %s", method, r.ID, made)
		}
		m.sameRequest(method, f, r)
		return
	}
	m.ids[f.ID] = r.ID
	m.pairs = append(m.pairs, pair{f, r})
	m.sameRequest(method, f, r)
}

func (m *model) sameError(method string, ferr, rerr error) {
	m.Helper()
	for _, known := range []error{pin.ErrNotFound, pin.ErrTooFast, pin.ErrNotFailed, pin.ErrSuperseded, pin.ErrKeyReused, pin.ErrKeyGone} {
		if errors.Is(ferr, known) != errors.Is(rerr, known) {
			m.Errorf("%s: %v, want %v", method, rerr, ferr)
		}
	}
	var f, r *pin.QuotaError
	if errors.As(ferr, &f) != errors.As(rerr, &r) || f != nil && *f != *r {
		m.Errorf("%s: %v, want %v", method, rerr, ferr)
	}
	if (ferr == nil) != (rerr == nil) {
		m.Errorf("%s: %v, want %v", method, rerr, ferr)
	}
}

func (m *model) sameRequest(what string, f, r pin.Request) {
	m.Helper()
	f.ID = m.ids[f.ID]
	if d := diff(r, f); d != "" {
		m.Errorf("%s: %s", what, d)
	}
}

func (m *model) sameReleased(method string, f, r []pin.Attempt) {
	m.Helper()
	want := make([]pin.Attempt, len(f))
	for i, a := range f {
		want[i] = m.attempts[a]
	}
	slices.Sort(want)
	r = slices.Sorted(slices.Values(r))
	if !slices.Equal(r, want) {
		m.Errorf("%s released %v, want %v", method, r, want)
	}
}

// compareAll compares everything that both keep.
func (m *model) compareAll() {
	ctx := m.Context()
	for range 6 {
		m.compareList(m.account(), m.query())
	}
	for _, s := range []pin.Status{pin.Queued, pin.Pinning} {
		f, r := collect(m, m.fake, s), collect(m, m.real, s)
		if len(f) != len(r) {
			m.Fatalf("%d requests are %s, want %d", len(r), s, len(f))
		}
		for i := range f {
			m.sameRequest("Unfinished", f[i], r[i])
		}
	}
	account, limit := m.account(), 1+m.rng.IntN(9)
	after := m.clock.now().Add(-time.Duration(m.rng.IntN(200)) * time.Millisecond)
	status := []pin.Status{pin.Queued, pin.Pinning}[m.rng.IntN(2)]
	f, ferr := m.fake.UnfinishedAfter(ctx, account, status, after, limit)
	r, rerr := m.real.UnfinishedAfter(ctx, account, status, after, limit)
	m.sameError("UnfinishedAfter", ferr, rerr)
	if len(f) != len(r) {
		m.Fatalf("%d requests are %s after, want %d", len(r), status, len(f))
	}
	for i := range f {
		m.sameRequest("UnfinishedAfter", f[i], r[i])
	}
	d := m.dag()
	fmends, ferr := m.fake.Repairing(ctx, d)
	rmends, rerr := m.real.Repairing(ctx, d)
	m.sameError("Repairing", ferr, rerr)
	if fmends != rmends {
		m.Errorf("Repairing: %v, want %v", rmends, fmends)
	}
	for _, account := range []string{alice, bob} {
		f, ferr := m.fake.Usage(ctx, account)
		r, rerr := m.real.Usage(ctx, account)
		m.sameError("Usage", ferr, rerr)
		if f != r {
			m.Errorf("usage of %s is %+v, want %+v", account, r, f)
		}
	}
	flings, ferr := m.fake.Lingering(ctx)
	rlings, rerr := m.real.Lingering(ctx)
	m.sameError("Lingering", ferr, rerr)
	if flings != rlings {
		m.Errorf("%+v lingers, want %+v", rlings, flings)
	}
	m.compareFor(m.account())
	frel, ferr := m.fake.Released(ctx)
	rrel, rerr := m.real.Released(ctx)
	m.sameError("Released", ferr, rerr)
	m.sameReleased("Released", frel, rrel)
	if f, r := roots(m, m.fake), roots(m, m.real); !slices.Equal(f, r) {
		m.Errorf("roots %v, want %v", r, f)
	}
}

// grace makes a random change of what lingers.
func (m *model) grace() {
	ctx := m.Context()
	ended := func(what string, f, r pin.Ended, ferr, rerr error) {
		m.Helper()
		m.sameError(what, ferr, rerr)
		m.sameReleased(what, f.Released, r.Released)
		if f.Graces != r.Graces || f.Totals != r.Totals {
			m.Errorf("%s: %+v, want %+v", what, r, f)
		}
	}
	switch m.rng.IntN(6) {
	case 0:
		age := time.Duration(m.rng.IntN(20)) * time.Millisecond
		account := []string{"", "", "", alice, bob}[m.rng.IntN(5)]
		f, _, ferr := m.fake.EndLingering(ctx, account, age)
		r, _, rerr := m.real.EndLingering(ctx, account, age)
		ended("EndLingering", f, r, ferr, rerr)
	case 1:
		age, bytes := time.Duration(m.rng.IntN(20))*time.Millisecond, uint64(m.rng.IntN(400))
		f, ferr := m.fake.EndOldest(ctx, age, bytes)
		r, rerr := m.real.EndOldest(ctx, age, bytes)
		ended("EndOldest", f, r, ferr, rerr)
	default:
		p := m.some()
		f, frel, ferr := m.fake.Linger(ctx, p.fake.Account, p.fake.ID)
		r, rrel, rerr := m.real.Linger(ctx, p.real.Account, p.real.ID)
		m.sameError("Linger", ferr, rerr)
		m.sameRequest("Linger", f, r)
		m.sameReleased("Linger", frel, rrel)
	}
}

// compareFor compares what both have for a CID.
func (m *model) compareFor(account string) {
	c, limit := m.dag().CID(), 1+m.rng.IntN(5)
	f, ferr := m.fake.For(m.Context(), account, c, limit)
	r, rerr := m.real.For(m.Context(), account, c, limit)
	m.sameError("For", ferr, rerr)
	if len(f) != len(r) {
		m.Fatalf("%d requests for %s, want %d", len(r), c, len(f))
	}
	for i := range f {
		m.sameRequest("For", f[i], r[i])
	}
}

func collect(m *model, recs pin.Records, s pin.Status) (all []pin.Request) {
	all, err := unfinished(m.Context(), recs, s)
	if err != nil {
		m.Fatal(err)
	}
	return all
}

func roots(m *model, recs pin.Records) (all []pin.DAG) {
	for d, err := range recs.Roots(m.Context()) {
		if err != nil {
			m.Fatal(err)
		}
		all = append(all, d)
	}
	slices.Sort(all)
	return all
}

// query makes a random one.
func (m *model) query() pin.Query {
	q := pin.Query{Limit: m.rng.IntN(12)}
	if m.rng.IntN(4) == 0 {
		q.Limit = 300
	}
	for _, s := range pin.Statuses() {
		if m.rng.IntN(2) == 0 {
			q.Statuses = append(q.Statuses, s)
		}
	}
	if m.rng.IntN(3) == 0 {
		for range 1 + m.rng.IntN(4) {
			q.DAGs = append(q.DAGs, m.dag())
		}
	}
	if m.rng.IntN(3) == 0 {
		q.Name = m.name()
		q.Match = []pin.Match{"", pin.Exact, pin.IExact, pin.Partial, pin.IPartial}[m.rng.IntN(5)]
	}
	if m.rng.IntN(4) == 0 {
		q.Meta = map[string]string{"k": fmt.Sprint(m.rng.IntN(3))}
	}
	if m.rng.IntN(3) == 0 {
		q.Before = m.moment()
	}
	if m.rng.IntN(3) == 0 {
		q.After = m.moment()
	}
	return q
}

// moment is when one of the requests was created, or close to that.
func (m *model) moment() time.Time {
	if len(m.pairs) == 0 {
		return m.clock.now()
	}
	at := m.pairs[m.rng.IntN(len(m.pairs))].fake.Created
	return at.Add(time.Duration(m.rng.IntN(3)-1) * time.Microsecond)
}

// compareList compares the answers to a query, page by page.
func (m *model) compareList(account string, q pin.Query) {
	for {
		f, ferr := m.fake.List(m.Context(), account, q)
		r, rerr := m.real.List(m.Context(), account, q)
		m.sameError("List", ferr, rerr)
		if f.Count != r.Count || len(f.Requests) != len(r.Requests) {
			m.Fatalf("query %+v: count %d and %d requests, want %d and %d",
				q, r.Count, len(r.Requests), f.Count, len(f.Requests))
		}
		for i := range f.Requests {
			m.sameRequest("List", f.Requests[i], r.Requests[i])
		}
		if len(f.Requests) == 0 || f.Count == len(f.Requests) {
			return
		}
		q.Before = f.Requests[len(f.Requests)-1].Created
	}
}
