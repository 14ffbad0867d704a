package authtest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// Accounts is an [auth.Accounts] in memory. Make one with [NewAccounts].
type Accounts struct {
	mu     sync.Mutex
	closed bool
	fault  func(method string) error
	*state
}

var _ auth.Accounts = (*Accounts)(nil)

// state is what would be on disk.
type state struct {
	accounts map[string]auth.Account // by ID
	tokens   map[string]auth.Token   // by ID
	invites  map[string]auth.Invite  // by ID
	events   []auth.Event            // by ID, oldest first
}

// NewAccounts makes empty Accounts.
func NewAccounts() *Accounts {
	return &Accounts{state: &state{
		accounts: map[string]auth.Account{},
		tokens:   map[string]auth.Token{},
		invites:  map[string]auth.Invite{},
	}}
}

// Close closes a. From then on methods return an error that wraps [auth.ErrUnavailable].
func (a *Accounts) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
}

// Reopen closes a and returns what a restart would find.
func (a *Accounts) Reopen() *Accounts {
	a.Close()
	return &Accounts{state: a.state}
}

// SetFault makes each method call f with its name, outside of any lock, before it does
// anything. If f returns an error, the method returns that error. A nil f ends this.
func (a *Accounts) SetFault(f func(method string) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = f
}

// begin locks a for one method, unless the method is to fail.
func (a *Accounts) begin(ctx context.Context, method string) (unlock func(), err error) {
	a.mu.Lock()
	fault := a.fault
	a.mu.Unlock()
	if fault != nil {
		if err := fault(method); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return nil, fmt.Errorf("%w: closed", auth.ErrUnavailable)
	}
	return a.mu.Unlock, nil
}

// read reads what one of a's maps has under an id.
func read[T any](ctx context.Context, a *Accounts, method string, from map[string]T, id string, none error) (found T, err error) {
	unlock, err := a.begin(ctx, method)
	if err != nil {
		return found, err
	}
	defer unlock()
	found, ok := from[id]
	if !ok {
		return found, none
	}
	return found, nil
}

// remove removes what one of a's maps has under an id, calls also, and adds the events.
func remove[T any](ctx context.Context, a *Accounts, method string, from map[string]T, id string, none error, also func(), log []auth.Event) (gone T, err error) {
	unlock, err := a.begin(ctx, method)
	if err != nil {
		return gone, err
	}
	defer unlock()
	gone, ok := from[id]
	if !ok {
		return gone, none
	}
	delete(from, id)
	also()
	a.append(log)
	return gone, nil
}

func (a *Accounts) byEmail(email string) (auth.Account, bool) {
	for _, acc := range a.accounts {
		if acc.Email == email {
			return acc, true
		}
	}
	return auth.Account{}, false
}

// CreateAccount implements [auth.Accounts].
func (a *Accounts) CreateAccount(ctx context.Context, n auth.Account, log ...auth.Event) error {
	unlock, err := a.begin(ctx, "CreateAccount")
	if err != nil {
		return err
	}
	defer unlock()
	if err := a.create(n); err != nil {
		return err
	}
	a.append(log)
	return nil
}

// create is CreateAccount under the lock.
func (a *Accounts) create(n auth.Account) error {
	_, idTaken := a.accounts[n.ID]
	_, emailTaken := a.byEmail(n.Email)
	if idTaken || emailTaken {
		return auth.ErrExists
	}
	n.Created = toSecond(n.Created)
	a.accounts[n.ID] = n
	return nil
}

// AccountByID implements [auth.Accounts].
func (a *Accounts) AccountByID(ctx context.Context, id string) (auth.Account, error) {
	return read(ctx, a, "AccountByID", a.accounts, id, auth.ErrNoAccount)
}

// AccountByEmail implements [auth.Accounts].
func (a *Accounts) AccountByEmail(ctx context.Context, email string) (auth.Account, error) {
	unlock, err := a.begin(ctx, "AccountByEmail")
	if err != nil {
		return auth.Account{}, err
	}
	defer unlock()
	acc, ok := a.byEmail(email)
	if !ok {
		return auth.Account{}, auth.ErrNoAccount
	}
	return acc, nil
}

// ListAccounts implements [auth.Accounts].
func (a *Accounts) ListAccounts(ctx context.Context) ([]auth.Account, error) {
	unlock, err := a.begin(ctx, "ListAccounts")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var all []auth.Account
	for _, acc := range a.accounts {
		all = append(all, acc)
	}
	slices.SortFunc(all, func(x, y auth.Account) int { return cmp.Compare(x.Email, y.Email) })
	return all, nil
}

// ChangeAccount implements [auth.Accounts].
func (a *Accounts) ChangeAccount(ctx context.Context, id string, change func(*auth.Account) error, log ...auth.Event) (auth.Account, error) {
	unlock, err := a.begin(ctx, "ChangeAccount")
	if err != nil {
		return auth.Account{}, err
	}
	defer unlock()
	old, ok := a.accounts[id]
	if !ok {
		return auth.Account{}, auth.ErrNoAccount
	}
	acc := old
	if err := change(&acc); err != nil {
		return auth.Account{}, err
	}
	if acc.ID != old.ID || acc.Email != old.Email || !acc.Created.Equal(old.Created) {
		return auth.Account{}, fmt.Errorf("account %s: its ID, Email and Created are fixed", id)
	}
	a.accounts[id] = acc
	a.append(log)
	return acc, nil
}

// DeleteAccount implements [auth.Accounts].
func (a *Accounts) DeleteAccount(ctx context.Context, id string, log ...auth.Event) (auth.Account, error) {
	return remove(ctx, a, "DeleteAccount", a.accounts, id, auth.ErrNoAccount, func() {
		maps.DeleteFunc(a.tokens, func(_ string, t auth.Token) bool { return t.Account == id })
	}, log)
}

// CreateToken implements [auth.Accounts].
func (a *Accounts) CreateToken(ctx context.Context, t auth.Token, log ...auth.Event) error {
	unlock, err := a.begin(ctx, "CreateToken")
	if err != nil {
		return err
	}
	defer unlock()
	acc, ok := a.accounts[t.Account]
	if !ok {
		return auth.ErrNoAccount
	}
	if !acc.Allows(t) {
		return auth.ErrEnded
	}
	if _, taken := a.tokens[t.ID]; taken {
		return fmt.Errorf("token %s exists already", t.ID)
	}
	t.Created = toSecond(t.Created)
	a.tokens[t.ID] = kept(t)
	a.append(log)
	return nil
}

// TokenByID implements [auth.Accounts].
func (a *Accounts) TokenByID(ctx context.Context, id string) (auth.Token, error) {
	return read(ctx, a, "TokenByID", a.tokens, id, auth.ErrNoToken)
}

// ListTokens implements [auth.Accounts].
func (a *Accounts) ListTokens(ctx context.Context, account string) ([]auth.Token, error) {
	unlock, err := a.begin(ctx, "ListTokens")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var all []auth.Token
	for _, t := range a.tokens {
		if t.Account == account {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(x, y auth.Token) int {
		return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.ID, y.ID))
	})
	return all, nil
}

// ChangeToken implements [auth.Accounts].
func (a *Accounts) ChangeToken(ctx context.Context, id string, change func(*auth.Token) error) (auth.Token, error) {
	unlock, err := a.begin(ctx, "ChangeToken")
	if err != nil {
		return auth.Token{}, err
	}
	defer unlock()
	old, ok := a.tokens[id]
	if !ok {
		return auth.Token{}, auth.ErrNoToken
	}
	if acc, ok := a.accounts[old.Account]; !ok || !acc.Allows(old) {
		return auth.Token{}, auth.ErrEnded
	}
	t := old
	if err := change(&t); err != nil {
		return auth.Token{}, err
	}
	if t.ID != old.ID || t.Account != old.Account || t.Kind != old.Kind || t.Epoch != old.Epoch || !t.Created.Equal(old.Created) {
		return auth.Token{}, fmt.Errorf("token %s: its ID, Account, Kind, Epoch and Created are fixed", id)
	}
	t = kept(t)
	a.tokens[id] = t
	return t, nil
}

// DeleteToken implements [auth.Accounts].
func (a *Accounts) DeleteToken(ctx context.Context, id string, log ...auth.Event) (auth.Token, error) {
	return remove(ctx, a, "DeleteToken", a.tokens, id, auth.ErrNoToken, func() {}, log)
}

// MarkUsed implements [auth.Accounts].
func (a *Accounts) MarkUsed(ctx context.Context, used map[string]time.Time) error {
	unlock, err := a.begin(ctx, "MarkUsed")
	if err != nil {
		return err
	}
	defer unlock()
	for id, at := range used {
		if t, ok := a.tokens[id]; ok && at.After(t.Used) {
			t.Used = at
			a.tokens[id] = kept(t)
		}
	}
	return nil
}

// KeysInUse implements [auth.Accounts].
func (a *Accounts) KeysInUse(ctx context.Context, now time.Time) (devices []string, sessions time.Time, err error) {
	unlock, err := a.begin(ctx, "KeysInUse")
	if err != nil {
		return nil, time.Time{}, err
	}
	defer unlock()
	for _, t := range a.tokens {
		acc, ok := a.accounts[t.Account]
		switch {
		case t.Kind == auth.Session && t.Expires.After(sessions):
			sessions = t.Expires
		case t.Kind == auth.Device && ok && acc.Allows(t) && !t.Expired(now) && !slices.Contains(devices, t.Key):
			devices = append(devices, t.Key)
		}
	}
	slices.Sort(devices)
	return devices, sessions, nil
}

// SweepTokens implements [auth.Accounts].
func (a *Accounts) SweepTokens(ctx context.Context, now time.Time) (int, error) {
	unlock, err := a.begin(ctx, "SweepTokens")
	if err != nil {
		return 0, err
	}
	defer unlock()
	n := 0
	for id, t := range a.tokens {
		if acc, ok := a.accounts[t.Account]; !ok || !acc.Allows(t) || t.Expired(now) {
			delete(a.tokens, id)
			n++
		}
	}
	for id, i := range a.invites {
		if !now.Before(i.Expires) {
			delete(a.invites, id)
			n++
		}
	}
	return n, nil
}

// kept is a token as a disk would keep it.
func kept(t auth.Token) auth.Token {
	t.Expires, t.Refreshed, t.Used = toSecond(t.Expires), toSecond(t.Refreshed), toSecond(t.Used)
	return t
}

// toSecond is a time as a disk would keep it; the zero time stays zero.
func toSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
