package auth

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors that callers act on. All of them may come wrapped.
var (
	// ErrBadCredentials: no such account, or another password. The client never
	// learns which of the two.
	ErrBadCredentials = errors.New("the e-mail address or the password is wrong")
	// ErrDisabled: the account exists, and may not do anything.
	ErrDisabled = errors.New("the account is disabled")
	// ErrUnauthorized: the request shows no token that counts. The text of an
	// error that wraps it says why, and may be sent to the client.
	ErrUnauthorized = errors.New("not authorized")
	// ErrForbidden: the token counts, but not for this.
	ErrForbidden = errors.New("forbidden")
	// ErrNoAccount: no account has that ID or address.
	ErrNoAccount = errors.New("no such account")
	// ErrNoToken: no token has that ID.
	ErrNoToken = errors.New("no such token")
	// ErrNoInvite: the invitation does not exist, was used, or is expired.
	ErrNoInvite = errors.New("the invitation is not valid: it may be used already, or expired")
	// ErrClosed: strangers may not make accounts here.
	ErrClosed = errors.New("registration is closed: ask the operator for an account")
	// ErrExists: another account has that address.
	ErrExists = errors.New("an account with this e-mail address exists already")
	// ErrEnded: the account was disabled, or ended its tokens, while the token was
	// being made. So the token does not count.
	ErrEnded = errors.New("the account's tokens were ended meanwhile")
	// ErrBusy: the limit of passwords that are checked at the same time is reached. A
	// later try, in a few seconds, may work.
	ErrBusy = errors.New("too many passwords are being checked; try again")
	// ErrDamaged: the account, token or invitation exists, but its record cannot be
	// read. The operator can remove it, or restore a backup.
	ErrDamaged = errors.New("its record on the server cannot be read")
	// ErrUnavailable: accounts cannot be read or written now: the server is
	// stopping.
	ErrUnavailable = errors.New("accounts are not available now")
	// ErrDiskFull: the disk is too full to write to; nothing was changed.
	ErrDiskFull = errors.New("the server's disk is too full to write to, and nothing was changed: its operator has to make room")
	// ErrUnwritable: writes to the disk fail; nothing was changed.
	ErrUnwritable = errors.New("the server cannot write to its disk now, and nothing was changed")
	// ErrInDoubt: the disk failed while the change was written. From then on the change
	// is read as made, but a crash may undo it.
	ErrInDoubt = errors.New("the server's disk failed, and it is not known whether this was done: look before you ask again")
)

// InvalidError says that a client or an operator gave a bad value.
type InvalidError struct {
	Field string // such as "email" or "password"
	Msg   string // what is wrong, and what would be right; never the value itself
}

func (e *InvalidError) Error() string { return e.Field + ": " + e.Msg }

func invalid(field, format string, a ...any) error {
	return &InvalidError{Field: field, Msg: fmt.Sprintf(format, a...)}
}

// Accounts keeps accounts and tokens on disk. The Service that uses it is its only writer,
// because the Service remembers what it read. The Service does not close it.
//
// A method that changes something returns nil only after the change would survive power
// loss. Each change is one commit: all of it is there, or nothing. The events that are
// given with a change are part of its commit. Times are kept to the second, in UTC. All
// methods may be called concurrently.
//
// Once closed, methods return an error that wraps [ErrUnavailable]. A change returns
// [ErrDiskFull] if the disk is full, and [ErrUnwritable] or [ErrInDoubt] if the disk
// fails, all of them wrapped.
type Accounts interface {
	// CreateAccount commits a new account.
	// Errors: ErrExists if another has its ID or its Email.
	CreateAccount(ctx context.Context, a Account, log ...Event) error

	// AccountByID reads one account. Errors: ErrNoAccount; ErrDamaged, together with
	// what is known of the account: its ID, and Email if an index has it.
	AccountByID(ctx context.Context, id string) (Account, error)

	// AccountByEmail reads the account with that address. The caller normalises the
	// address before. Errors: those of AccountByID.
	AccountByEmail(ctx context.Context, email string) (Account, error)

	// ListAccounts reads every account, in the order of their addresses. If a record
	// cannot be read, the account has Damaged set and what is known of it.
	ListAccounts(ctx context.Context) ([]Account, error)

	// ChangeAccount reads an account, calls change with it, commits the result and
	// returns it. No other change comes in between. change may be called more than
	// once. It must not change ID, Email and Created. If it returns an error,
	// ChangeAccount returns that error and writes nothing. Errors: ErrNoAccount.
	ChangeAccount(ctx context.Context, id string, change func(*Account) error, log ...Event) (Account, error)

	// DeleteAccount removes an account, returns it as it last was, and frees its
	// address. Its tokens count for nothing from then on. Their records are removed in
	// as many commits as that needs; SweepTokens removes what a crash leaves of them.
	// An account that cannot be read is removed too. Errors: ErrNoAccount.
	DeleteAccount(ctx context.Context, id string, log ...Event) (Account, error)

	// CreateToken commits a new token.
	// Errors: ErrNoAccount; ErrEnded if its account does not allow it.
	CreateToken(ctx context.Context, t Token, log ...Event) error

	// TokenByID reads one token, whether or not it still counts.
	// Errors: ErrNoToken; ErrDamaged, with its ID, and its Account if that is known.
	TokenByID(ctx context.Context, id string) (Token, error)

	// ListTokens reads the tokens of an account, whether or not they still count:
	// oldest first, and by ID where Created is the same. An account that does not exist
	// has none. If a record cannot be read, the token has Damaged set, and only its ID
	// and Account.
	ListTokens(ctx context.Context, account string) ([]Token, error)

	// ChangeToken does with a token what ChangeAccount does with an account. change
	// must not change ID, Account, Kind, Epoch and Created. Errors: ErrNoToken;
	// ErrDamaged, as TokenByID; ErrEnded if its account does not allow it any more.
	ChangeToken(ctx context.Context, id string, change func(*Token) error) (Token, error)

	// DeleteToken removes a token, and returns it as it last was. A token that cannot be
	// read is removed too. Errors: ErrNoToken.
	DeleteToken(ctx context.Context, id string, log ...Event) (Token, error)

	// MarkUsed sets Used of the tokens with those IDs, where the new time is later, in as
	// many commits as that needs. It ignores IDs that no token has.
	MarkUsed(ctx context.Context, used map[string]time.Time) error

	// KeysInUse returns the Key of every device token that can still count at that
	// time, each once. It also returns the latest Expires of all sessions, or the zero
	// time if there are no sessions.
	KeysInUse(ctx context.Context, now time.Time) (devices []string, sessions time.Time, err error)

	// SweepTokens removes the tokens that are expired at that time, that their account
	// does not allow any more, or whose account is gone. It also removes the expired
	// invitations. It uses as many commits as that needs, and returns how many it
	// removed, also with an error.
	SweepTokens(ctx context.Context, now time.Time) (int, error)

	Invites
	Audit
}

// Invites keeps invitations, under the terms of [Accounts].
type Invites interface {
	// CreateInvite commits a new invitation. It fails if the ID is taken.
	CreateInvite(ctx context.Context, i Invite, log ...Event) error

	// InviteByID reads an invitation, expired or not. Errors: ErrNoInvite.
	InviteByID(ctx context.Context, id string) (Invite, error)

	// ListInvites reads all invitations, expired or not: oldest first, and by ID where
	// Created is the same.
	ListInvites(ctx context.Context) ([]Invite, error)

	// DeleteInvite removes an invitation, and returns it as it was. Errors: ErrNoInvite.
	DeleteInvite(ctx context.Context, id string, log ...Event) (Invite, error)

	// RedeemInvite is DeleteInvite and CreateAccount in one commit.
	// Errors: ErrNoInvite, ErrExists. After either the invitation stays as it was.
	RedeemInvite(ctx context.Context, id string, a Account, log ...Event) error
}

// EventsAtOnce is how many events one commit has at most: some 1,500 keys.
const EventsAtOnce = 500

// Audit is the record of what happened to accounts, under the terms of
// [Accounts]. Nothing in it is ever changed; old events are removed as a whole.
type Audit interface {
	// AppendEvents commits events: [EventsAtOnce] in one commit, and more in several, of which
	// those before an error stay. The Audit gives them IDs. IDs sort as the times do, to
	// the millisecond; events of the same time sort as they came, those of pins after the
	// others.
	AppendEvents(ctx context.Context, log []Event) error

	// Events reads the events that match, newest first, at most q.Limit. An event that
	// cannot be read has the kind [EventDamaged].
	Events(ctx context.Context, q EventQuery) ([]Event, error)

	// SweepEvents removes all events from before a time, in as many commits as that
	// needs. It returns how many it removed, also with an error.
	SweepEvents(ctx context.Context, before time.Time) (int, error)
}
