package auth

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors that callers act on. All of them may come wrapped.
var (
	// ErrBadCredentials: no such account, or another password. Which of the
	// two is never told.
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
	// ErrExists: another account has that address.
	ErrExists = errors.New("an account with this e-mail address exists already")
	// ErrEnded: the account does not let the token count: it was disabled, or
	// ended its tokens, while the token was made.
	ErrEnded = errors.New("the account's tokens were ended meanwhile")
	// ErrBusy: as many passwords as may be are being checked already; try
	// again in a few seconds.
	ErrBusy = errors.New("too many passwords are being checked; try again")
	// ErrUnavailable: accounts cannot be read or written now: the disk is full
	// or the server is stopping.
	ErrUnavailable = errors.New("accounts are not available now")
)

// InvalidError is a bad value in what a client or an operator gave.
type InvalidError struct {
	Field string // such as "email" or "password"
	Msg   string // what is wrong with it, and what would be right; never the value
}

func (e *InvalidError) Error() string { return e.Field + ": " + e.Msg }

func invalid(field, format string, a ...any) error {
	return &InvalidError{Field: field, Msg: fmt.Sprintf(format, a...)}
}

// Accounts keeps accounts and tokens on disk. The Service that it is given to
// is its only writer while both live, since the Service remembers what it read.
//
// Every method that changes something returns nil only after the change would
// survive power loss, and each change is one commit: all of it is there, or
// nothing. Times are kept to the second, in UTC. All methods may be called
// concurrently. Once closed, methods return an error that wraps
// [ErrUnavailable], as do changes that find the disk full. The Service does
// not close the Accounts that it is given.
type Accounts interface {
	// CreateAccount commits a new account.
	// Errors: ErrExists if another has its ID or its Email.
	CreateAccount(ctx context.Context, a Account) error

	// AccountByID reads one account. Errors: ErrNoAccount.
	AccountByID(ctx context.Context, id string) (Account, error)

	// AccountByEmail reads the account with that address, which is compared as
	// it is: the caller normalises it. Errors: ErrNoAccount.
	AccountByEmail(ctx context.Context, email string) (Account, error)

	// ListAccounts reads every account, in the order of their addresses.
	ListAccounts(ctx context.Context) ([]Account, error)

	// ChangeAccount reads an account, calls change with it, and commits what
	// change left there and returns it; no other change comes in between.
	// change may be called more than once. It must leave ID, Email and Created
	// as they are. If it returns an error, that is returned and nothing is
	// written. Errors: ErrNoAccount.
	ChangeAccount(ctx context.Context, id string, change func(*Account) error) (Account, error)

	// DeleteAccount removes an account, gives it as it last was, and frees its
	// address. Its tokens count for nothing from then on; their records go in
	// as many commits as they need, and what a crash leaves of them is removed
	// by SweepTokens. Errors: ErrNoAccount.
	DeleteAccount(ctx context.Context, id string) (Account, error)

	// CreateToken commits a new token.
	// Errors: ErrNoAccount; ErrEnded if its account does not allow it.
	CreateToken(ctx context.Context, t Token) error

	// TokenByID reads one token, whether or not it still counts.
	// Errors: ErrNoToken.
	TokenByID(ctx context.Context, id string) (Token, error)

	// ListTokens reads the tokens of an account, whether or not they still
	// count, oldest first, and by ID where Created is the same. An account
	// that does not exist has none.
	ListTokens(ctx context.Context, account string) ([]Token, error)

	// ChangeToken is to a token what ChangeAccount is to an account. change
	// must leave ID, Account, Kind, Epoch and Created as they are.
	// Errors: ErrNoToken; ErrEnded if its account does not allow it any more.
	ChangeToken(ctx context.Context, id string, change func(*Token) error) (Token, error)

	// DeleteToken removes a token, and gives it as it last was.
	// Errors: ErrNoToken.
	DeleteToken(ctx context.Context, id string) (Token, error)

	// SweepTokens removes the tokens that are expired at that time, that their
	// account does not allow any more, or whose account is gone, in as many
	// commits as they need. It says how many it removed, also with an error.
	SweepTokens(ctx context.Context, now time.Time) (int, error)
}
