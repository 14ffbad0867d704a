package pin

import (
	"context"
	"fmt"
)

// Adopt gives all requests of one account to another. It returns how many it gave, and how
// many stay where they are because their CID cannot be read. The caller makes sure that
// nothing is done for the first account meanwhile.
// Errors: those of the [Adopter].
func (m *Manager) Adopt(ctx context.Context, r Adopter, from, to string) (adopted, left int, err error) {
	if err := m.enter(); err != nil {
		return 0, 0, err
	}
	defer m.calls.Done()
	left, err = r.Adopt(ctx, from, to, func(some []Adopted) {
		adopted += len(some)
		for _, a := range some {
			m.jobs.joined(a.Now) // first, so that a job is never left without a request in between
			m.jobs.left(a.Was)
		}
	})
	m.log.Info("pins adopted", "from", from, "account", to, "requests", adopted, "left", left)
	if err != nil {
		return adopted, left, fmt.Errorf("adopt the pins of account %s: %w", from, err)
	}
	return adopted, left, nil
}
