package accounts

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// The first bytes of the keys of accounts and tokens. The comment of package store has the
// table of all keys.
const (
	KLogin        = 0x40 // account -> loginRecord
	kEmail        = 0x41 // address -> account
	KToken        = 0x42 // token -> tokenRecord
	kAccountToken = 0x43 // account, token -> nothing
	kInvite       = 0x44 // invitation -> inviteRecord
	kEvent        = 0x45 // time, number -> eventRecord
	kAccountEvent = 0x46 // account, time, number -> nothing
)

// tokenID is a token's ID as it is in keys.
type tokenID [16]byte

func tokenOf(s string) (tokenID, bool) {
	id, ok := kv.AccountOf(s)
	return tokenID(id), ok
}

func (t tokenID) String() string { return uuid.UUID(t).String() }

func loginKey(a kv.Account) []byte { return append([]byte{KLogin}, a[:]...) }

func emailKey(email string) []byte { return append([]byte{kEmail}, email...) }

func tokenKey(t tokenID) []byte { return append([]byte{KToken}, t[:]...) }

// accountTokens is the prefix of the tokens of an account.
func accountTokens(a kv.Account) []byte { return append([]byte{kAccountToken}, a[:]...) }

func accountTokenKey(a kv.Account, t tokenID) []byte { return append(accountTokens(a), t[:]...) }

// loginRecord is an auth.Account on disk. It is a map, so that a field can be added without a new
// version. The number of a field is never used for another.
type loginRecord struct {
	Email        string `cbor:"1,keyasint"`
	PasswordHash string `cbor:"2,keyasint"`
	Admin        bool   `cbor:"3,keyasint,omitempty"`
	Disabled     bool   `cbor:"4,keyasint,omitempty"`
	Created      int64  `cbor:"5,keyasint"` // Unix seconds
	Quota        uint64 `cbor:"6,keyasint,omitempty"`
	Sessions     uint64 `cbor:"7,keyasint,omitempty"`
	Devices      uint64 `cbor:"8,keyasint,omitempty"`
	QuotaPins    uint64 `cbor:"9,keyasint,omitempty"`
	Replication  string `cbor:"10,keyasint,omitempty"`
}

// tokenRecord is an auth.Token on disk, encoded in the same way.
type tokenRecord struct {
	Account kv.Account `cbor:"1,keyasint"`
	Kind    string     `cbor:"2,keyasint"`
	Name    string     `cbor:"3,keyasint,omitempty"`
	Epoch   uint64     `cbor:"4,keyasint,omitempty"`
	Refresh string     `cbor:"5,keyasint,omitempty"`
	Created int64      `cbor:"6,keyasint"`           // Unix seconds
	Expires *int64     `cbor:"7,keyasint,omitempty"` // Unix seconds; nil is never

	Scope     string `cbor:"8,keyasint,omitempty"`
	Key       string `cbor:"9,keyasint,omitempty"`
	Previous  string `cbor:"10,keyasint,omitempty"`
	Refreshed *int64 `cbor:"11,keyasint,omitempty"` // Unix seconds; nil is never
	Used      *int64 `cbor:"12,keyasint,omitempty"` // Unix seconds; nil is never
	Address   string `cbor:"13,keyasint,omitempty"`
}

// seconds and fromSeconds convert a time in a record; nil is the zero time.
func seconds(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	n := t.Unix()
	return &n
}

func fromSeconds(n *int64) time.Time {
	if n == nil {
		return time.Time{}
	}
	return time.Unix(*n, 0).UTC()
}

// authReader is a reader of accounts and tokens.
type authReader struct {
	*kv.Reader
}

// authTx is a change to accounts and tokens.
type authTx struct {
	*kv.Tx
}

// read reads what the change sees.
func (t authTx) read() authReader { return authReader{&t.Reader} }

// addressOf finds the address of an account in the index of addresses; "" if it is not there.
func (r authReader) addressOf(a kv.Account) (email string) {
	_ = r.ScanEach(kv.Span{Prefix: []byte{kEmail}}, func(key, id []byte) (bool, error) {
		if bytes.Equal(id, a[:]) {
			email = string(key[1:])
		}
		return email == "", nil
	}) // what cannot be read says nothing
	return email
}

// login reads an account. Errors: auth.ErrNoAccount; diskerr.ErrUnreadable, together with what is known
// of the account.
func (r authReader) login(id string) (auth.Account, error) {
	key, ok := kv.AccountOf(id)
	if !ok {
		return auth.Account{}, auth.ErrNoAccount
	}
	value, found, err := r.Get(loginKey(key))
	if err == nil && !found {
		return auth.Account{}, auth.ErrNoAccount
	}
	var rec loginRecord
	if err == nil {
		err = kv.Decode(value, &rec)
	}
	if errors.Is(err, diskerr.ErrUnreadable) {
		return auth.Account{ID: id, Email: r.addressOf(key), Damaged: true}, fmt.Errorf("account %s: %w", id, err)
	}
	if err != nil {
		return auth.Account{}, fmt.Errorf("account %s: %w", id, err)
	}
	return auth.Account{
		ID: id, Email: rec.Email, PasswordHash: rec.PasswordHash, Admin: rec.Admin, Disabled: rec.Disabled,
		Created: time.Unix(rec.Created, 0).UTC(), Quota: rec.Quota, QuotaPins: rec.QuotaPins, Sessions: rec.Sessions, Devices: rec.Devices,
		Replication: rec.Replication,
	}, nil
}

// accountAt finds an account by its address, in the index of addresses. If the entry cannot be read
// it searches all accounts.
func (r authReader) accountAt(email string) (id kv.Account, found bool, err error) {
	b, found, err := r.Get(emailKey(email))
	if err != nil && !errors.Is(err, diskerr.ErrUnreadable) || err == nil && !found {
		return id, false, err
	}
	if len(b) == len(id) {
		return kv.Account(b), true, nil
	}
	found = false
	err = r.ScanEach(kv.Span{Prefix: []byte{KLogin}}, func(key, value []byte) (bool, error) {
		var rec loginRecord
		if kv.Decode(value, &rec) == nil && rec.Email == email && len(key) == 1+len(id) {
			id, found = kv.Account(key[1:]), true
		}
		return !found, nil
	})
	if err == nil && !found {
		err = fmt.Errorf("the index of addresses: %w", diskerr.ErrUnreadable)
	}
	return id, found, err
}

func (t authTx) putLogin(id kv.Account, a auth.Account) error {
	value, err := kv.Encode(loginRecord{
		Email: a.Email, PasswordHash: a.PasswordHash, Admin: a.Admin, Disabled: a.Disabled,
		Created: a.Created.Unix(), Quota: a.Quota, QuotaPins: a.QuotaPins, Sessions: a.Sessions, Devices: a.Devices,
		Replication: a.Replication,
	})
	if err != nil {
		return fmt.Errorf("account %s: %w", id, err)
	}
	t.Set(loginKey(id), value)
	return nil
}

// ownerOf finds the account of a token in the lists of all accounts.
func (r authReader) ownerOf(id tokenID) (owner kv.Account, ok bool) {
	_ = r.Scan(kv.Span{Prefix: []byte{kAccountToken}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		if len(key) == 1+len(owner)+len(id) && bytes.Equal(key[1+len(owner):], id[:]) {
			owner, ok = kv.Account(key[1:1+len(owner)]), true
		}
		return !ok, nil
	}) // an error is one more way not to know
	return owner, ok
}

// token reads a token. Errors: auth.ErrNoToken; diskerr.ErrUnreadable, together with what is known of
// the token.
func (r authReader) token(id tokenID) (auth.Token, error) {
	value, found, err := r.Get(tokenKey(id))
	if err == nil && !found {
		return auth.Token{}, auth.ErrNoToken
	}
	var rec tokenRecord
	if err == nil {
		err = kv.Decode(value, &rec)
	}
	if errors.Is(err, diskerr.ErrUnreadable) {
		n := auth.Token{ID: id.String(), Damaged: true}
		if owner, ok := r.ownerOf(id); ok {
			n.Account = owner.String()
		}
		return n, fmt.Errorf("token %s: %w", id, err)
	}
	if err != nil {
		return auth.Token{}, fmt.Errorf("token %s: %w", id, err)
	}
	return auth.Token{
		ID: id.String(), Account: rec.Account.String(), Kind: auth.Kind(rec.Kind), Name: rec.Name,
		Scope: auth.Scope(rec.Scope), Key: rec.Key, Address: rec.Address, Epoch: rec.Epoch,
		Refresh: rec.Refresh, Previous: rec.Previous, Refreshed: fromSeconds(rec.Refreshed),
		Used: fromSeconds(rec.Used), Created: time.Unix(rec.Created, 0).UTC(), Expires: fromSeconds(rec.Expires),
	}, nil
}

func (t authTx) putToken(owner kv.Account, id tokenID, n auth.Token) error {
	value, err := kv.Encode(tokenRecord{
		Account: owner, Kind: string(n.Kind), Name: n.Name, Epoch: n.Epoch,
		Refresh: n.Refresh, Created: n.Created.Unix(), Expires: seconds(n.Expires),
		Scope: string(n.Scope), Key: n.Key, Previous: n.Previous, Refreshed: seconds(n.Refreshed),
		Used: seconds(n.Used), Address: n.Address,
	})
	if err != nil {
		return fmt.Errorf("token %s: %w", id, err)
	}
	t.Set(tokenKey(id), value)
	return nil
}

func (t authTx) deleteToken(owner kv.Account, id tokenID) {
	t.Delete(tokenKey(id))
	t.Delete(accountTokenKey(owner, id))
}

// accountTokens gives the tokens of an account, at most n of them.
func (r authReader) accountTokens(a kv.Account, n int) (ids []tokenID, err error) {
	prefix := accountTokens(a)
	err = r.Scan(kv.Span{Prefix: prefix, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		ids = append(ids, tokenID(key[len(prefix):]))
		return len(ids) < n, nil
	})
	return ids, err
}

// deadToken gives the account of a token, and reports whether the token can never be valid again.
func (r authReader) deadToken(id tokenID, now time.Time) (owner kv.Account, dead bool, err error) {
	n, err := r.token(id)
	if err != nil && !n.Damaged {
		return kv.Account{}, false, err
	}
	owner, _ = kv.AccountOf(n.Account)
	a, err := r.login(n.Account)
	if errors.Is(err, auth.ErrNoAccount) {
		return owner, true, nil
	}
	if n.Damaged || a.Damaged { // the operator may get it back
		return owner, false, nil
	}
	if err != nil {
		return kv.Account{}, false, err
	}
	return owner, !a.Allows(n) || n.Expired(now), nil
}
