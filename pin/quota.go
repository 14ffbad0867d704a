package pin

import (
	"context"
	"fmt"
	"time"
)

// Quotas says what accounts may have. [Records] keep them: they count where they
// commit.
type Quotas interface {
	// Quota is what the account may have. It may be called by many goroutines, and
	// by methods of Records that are under way: it must not call these.
	Quota(ctx context.Context, account string) (Quota, error)
}

// quotaLoop stops fetches that have crossed the quota of those who wait for them,
// so that what is fetched in vain stays little. It reads and writes records, and
// what gives out places waits for neither.
func (m *Manager) quotaLoop() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-ticker.C:
			for account, jobs := range m.fetching() {
				if err := m.checkQuota(account, jobs); err != nil && m.ctx.Err() == nil {
					m.log.Error("check a quota", "account", account, "err", err)
				}
			}
		}
	}
}

// fetched is a job of which something has come, and who of an account waits for it.
type fetched struct {
	*job
	bytes uint64
	who   []member
}

// fetching gives the jobs that receive something, by the accounts that wait for
// them.
func (m *Manager) fetching() map[string][]*fetched {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[string][]*fetched)
	for t := range m.turns.Running() {
		j := m.of(t)
		if j.progress == nil || j.repair {
			continue
		}
		bytes := j.progress.Bytes.Load()
		if bytes == 0 {
			continue
		}
		for who := range j.members.all() {
			of := all[who.account]
			if len(of) == 0 || of[len(of)-1].job != j {
				of = append(of, &fetched{job: j, bytes: bytes})
				all[who.account] = of
			}
			last := of[len(of)-1]
			last.who = append(last.who, who)
		}
	}
	return all
}

// checkQuota fails an account's requests for those of the jobs that have more
// bytes than it has room for.
func (m *Manager) checkQuota(account string, jobs []*fetched) error {
	limit, err := m.cfg.Quotas.Quota(m.ctx, account)
	if err != nil {
		return fmt.Errorf("read quota: %w", err)
	}
	if limit.Bytes == 0 {
		return nil
	}
	used, err := m.records.Usage(m.ctx, account)
	if err != nil {
		return fmt.Errorf("read usage: %w", err)
	}
	for _, j := range jobs {
		if used.Bytes <= limit.Bytes && j.bytes <= limit.Bytes-used.Bytes {
			continue
		}
		// It may have room all the same, by what it replaces: records know.
		n, released, err := m.records.FailOverQuota(m.ctx, account, j.dag, j.bytes)
		m.drop(released)
		if err != nil {
			return fmt.Errorf("fail requests over quota: %w", err)
		}
		if n == 0 {
			continue
		}
		m.mu.Lock()
		for _, who := range j.who {
			m.leave(j.job, who)
		}
		m.mu.Unlock()
		m.log.Warn("pin over quota", "cid", j.dag, "account", account, "requests", n)
	}
	return nil
}
