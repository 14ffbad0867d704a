package pin

import (
	"context"
	"fmt"
)

// Adopt gives all requests of an account to another, and says how many those were, and
// how many stay where they are as their CID cannot be read. The caller sees to it that
// nobody acts for the first account meanwhile.
// Errors: those of the [Adopter].
func (m *Manager) Adopt(ctx context.Context, r Adopter, from, to string) (adopted, left int, err error) {
	if err := m.enter(); err != nil {
		return 0, 0, err
	}
	defer m.calls.Done()
	left, err = r.Adopt(ctx, from, to, func(some []Adopted) {
		adopted += len(some)
		for _, a := range some {
			m.jobs.joined(a.Now) // first: what they wait for must not be left by all
			m.jobs.left(a.Was)
		}
	})
	m.log.Info("pins adopted", "from", from, "account", to, "requests", adopted, "left", left)
	if err != nil {
		return adopted, left, fmt.Errorf("adopt the pins of account %s: %w", from, err)
	}
	return adopted, left, nil
}
