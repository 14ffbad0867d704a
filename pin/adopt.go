package pin

import (
	"context"
	"fmt"
)

// Adopted is a request that another account has now.
type Adopted struct{ Was, Now Request }

// Adopter gives the requests of one account to another. What implements [Records] does
// this too.
type Adopter interface {
	// Adopt makes the requests of one account another's, oldest first, in as many
	// commits as they need, and tells told of those of each. What a request holds it
	// holds throughout, and its status stays. It keeps its ID and Created if the account
	// has none as new; else it gets new ones. The quotas of the account that has it then
	// are kept as if it were made anew. A damaged request is written anew, or stays where
	// it is if its CID is not known: left counts those.
	// Errors: a *QuotaError, after which the rest stay where they were.
	Adopt(ctx context.Context, from, to string, told func([]Adopted)) (left int, err error)
}

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
			m.joined(a.Now) // first: what they wait for must not be left by all
			m.left(a.Was)
		}
	})
	m.log.Info("pins adopted", "from", from, "account", to, "requests", adopted, "left", left)
	if err != nil {
		return adopted, left, fmt.Errorf("adopt the pins of account %s: %w", from, err)
	}
	return adopted, left, nil
}
