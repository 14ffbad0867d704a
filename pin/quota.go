package pin

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// quotaWatch ends fetches that have exceeded the quota of every account that waits for
// them, so that little is fetched in vain. It does not decide who is over quota: the
// records do, in the commit that makes a request or makes it pinned. It reads and writes
// records, so it has a goroutine of its own: what gives out places waits for neither.
type quotaWatch struct {
	quotas   Quotas
	requests Requests
	work     Work
	drops    *drops
	jobs     *scheduler
	log      *slog.Logger
	failed   seldom
}

// loop checks all accounts once a tick, until ctx ends.
func (q *quotaWatch) loop(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			for account, jobs := range q.jobs.receiving() {
				if err := q.check(ctx, account, jobs); err != nil && ctx.Err() == nil && q.failed.due(time.Now()) {
					q.log.Error("check a quota", "account", account, "err", err)
				}
			}
		}
	}
}

// check fails an account's requests for those of the jobs that have more bytes than its
// quota has room for.
func (q *quotaWatch) check(ctx context.Context, account string, jobs []*receiving) error {
	limit, err := q.quotas.Quota(ctx, account)
	if err != nil {
		return fmt.Errorf("read quota: %w", err)
	}
	if limit.Bytes == 0 {
		return nil
	}
	used, err := q.requests.Usage(ctx, account)
	if err != nil {
		return fmt.Errorf("read usage: %w", err)
	}
	for _, r := range jobs {
		if used.Bytes <= limit.Bytes && r.bytes <= limit.Bytes-used.Bytes {
			continue
		}
		// The request may still fit, if it replaces another: the records decide.
		n, released, err := q.work.FailOverQuota(ctx, account, r.job.dag, r.bytes)
		q.drops.add(released)
		q.drops.suspect(err)
		if err != nil {
			return fmt.Errorf("fail requests over quota: %w", err)
		}
		if n == 0 {
			continue
		}
		q.jobs.leaveAll(r.job, r.members)
		q.jobs.changes.tell(r.job.dag, Change{})
		q.log.Warn("pin over quota", "cid", r.job.dag, "account", account, "requests", n)
	}
	return nil
}

// receiving is a job that has received something, and the requests of one account that
// wait for it.
type receiving struct {
	job     *job
	bytes   uint64
	members []member
}

// receiving lists the jobs that have received something, by the accounts that wait for
// them. Repairs are not among them: no quota applies to those.
func (s *scheduler) receiving() map[string][]*receiving {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string][]*receiving)
	for t := range s.turns.Running() {
		j := s.of(t)
		if j.progress == nil || j.repair {
			continue
		}
		bytes := j.progress.Bytes.Load()
		if bytes == 0 {
			continue
		}
		for m := range j.members.all() {
			of := all[m.account]
			if len(of) == 0 || of[len(of)-1].job != j {
				of = append(of, &receiving{job: j, bytes: bytes})
				all[m.account] = of
			}
			last := of[len(of)-1]
			last.members = append(last.members, m)
		}
	}
	return all
}
