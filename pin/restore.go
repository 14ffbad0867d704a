package pin

import "context"

// Restorer is what [Manager.Restore] needs beside [Records].
type Restorer interface {
	// Restore makes requests of an account that are in a backup, in one commit; they are at
	// most [RestoresAtOnce], the oldest first. A request keeps its ID and Created if the
	// account has no request as new; else it gets new ones. If the account has a request with
	// its ID, that one is returned, and none is made; if it failed since the backup, it is tried
	// again. A failed request is failed again. Any other is pinned if its DAG is complete, and else queued. If it was pinned in the backup,
	// its DAG is from then on one that was complete: no quota and no limit applies to it.
	// made is how many were made or are tried again.
	// Errors: ErrTooFast, ErrDiskFull.
	Restore(ctx context.Context, account string, was []Request) (now []Request, made int, err error)
}

// RestoresAtOnce is how many requests one commit restores: some 20 keys each.
const RestoresAtOnce = 128

// Restore makes requests of a backup, and begins to bring their DAGs here. It returns when the
// requests are durable. Errors: those of the [Restorer].
func (m *Manager) Restore(ctx context.Context, r Restorer, account string, was []Request) (made int, err error) {
	if err := m.enter(); err != nil {
		return 0, err
	}
	defer m.calls.Done()
	var now []Request
	err = m.patiently(ctx, func() (err error) {
		now, made, err = r.Restore(ctx, account, was)
		return err
	})
	for _, one := range now { // a job knows which of its requests it has
		m.jobs.joined(one)
	}
	return made, err
}
