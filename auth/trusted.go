package auth

import (
	"context"
	"slices"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	maxTrusted  = 16       // networks of one account: the places of one person
	maxTrusting = 16 << 10 // accounts; for others the sessions are read again
)

// trusted remembers the networks from which somebody logged in to an account. While others
// try passwords on the account, its owner can still log in from these networks.
type trusted struct {
	mu       sync.Mutex
	networks *simplelru.LRU[string, []string] // by account, the latest last
}

func newTrusted() *trusted {
	networks, err := simplelru.NewLRU[string, []string](maxTrusting, nil)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &trusted{networks: networks}
}

func (t *trusted) get(account string) ([]string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.networks.Get(account)
}

func (t *trusted) add(account string, networks ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, _ := t.networks.Get(account)
	all := slices.Clone(old)
	for _, n := range networks {
		all = append(slices.DeleteFunc(all, func(o string) bool { return o == n }), n)
	}
	t.networks.Add(account, all[max(0, len(all)-maxTrusted):])
}

// trusts reports whether somebody logged in to the account from the network. After a start
// that is known from the sessions that still count.
func (s *Service) trusts(ctx context.Context, account, network string) (bool, error) {
	networks, known := s.trusted.get(account)
	if !known {
		tokens, err := s.ListTokens(ctx, account)
		if err != nil {
			return false, err
		}
		s.trusted.add(account, sessionNetworks(tokens)...)
		networks, _ = s.trusted.get(account)
	}
	return slices.Contains(networks, network), nil
}

func sessionNetworks(tokens []Token) (all []string) {
	for _, t := range tokens {
		if n := network(t.Address); t.Kind == Session && n != "" {
			all = append(all, n)
		}
	}
	return all
}
