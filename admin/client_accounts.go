package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// Where a method takes an account, that is the account's id, or, by the socket, its address.

// at puts the id of an account, a token or an invitation into a path.
func at(path, id string) string { return strings.Replace(path, ":id", url.PathEscape(id), 1) }

// Server says what answers.
func (c *Client) Server(ctx context.Context) (info ServerInfo, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: serverPath}, &info)
	return info, err
}

// Accounts lists the accounts.
func (c *Client) Accounts(ctx context.Context) ([]Account, error) {
	var out struct{ Accounts []Account }
	err := c.do(ctx, call{method: http.MethodGet, path: AccountsPath}, &out)
	return out.Accounts, err
}

// AddAccount makes an account.
func (c *Client) AddAccount(ctx context.Context, n NewAccount) (Account, error) {
	return c.changed(ctx, call{method: http.MethodPost, path: AccountsPath, in: n})
}

// Account reads an account.
func (c *Client) Account(ctx context.Context, account string) (Account, error) {
	return c.changed(ctx, call{method: http.MethodGet, path: at(accountPath, account)})
}

// SetQuota sets what an account may pin.
func (c *Client) SetQuota(ctx context.Context, account string, n NewQuota) (Account, error) {
	return c.changed(ctx, call{method: http.MethodPost, path: at(accountPath, account) + "/quota", in: n})
}

// SetAdmin makes an account an admin, or an account that is no admin any more.
func (c *Client) SetAdmin(ctx context.Context, account string, isAdmin bool) (Account, error) {
	return c.changed(ctx, call{method: http.MethodPost, path: at(accountPath, account) + "/role", in: NewRole{&isAdmin}})
}

// Disable disables an account, and ends its tokens.
func (c *Client) Disable(ctx context.Context, account string) (Account, error) {
	return c.changed(ctx, call{method: http.MethodPost, path: at(accountPath, account) + "/disable"})
}

// Enable undoes Disable. The tokens stay ended.
func (c *Client) Enable(ctx context.Context, account string) (Account, error) {
	return c.changed(ctx, call{method: http.MethodPost, path: at(accountPath, account) + "/enable"})
}

// changed makes a request whose answer is an account.
func (c *Client) changed(ctx context.Context, r call) (Account, error) {
	var out struct{ Account Account }
	err := c.do(ctx, r, &out)
	return out.Account, err
}

// RemoveAccount removes an account, and its pins unless keepPins is set.
func (c *Client) RemoveAccount(ctx context.Context, account string, keepPins bool) (gone RemovedAccount, err error) {
	query := url.Values{}
	if keepPins {
		query.Set("pins", "keep")
	}
	err = c.do(ctx, call{method: http.MethodDelete, path: at(accountPath, account), query: query}, &gone)
	return gone, err
}

// SetPassword gives an account a new password.
func (c *Client) SetPassword(ctx context.Context, account string, n NewPassword) (ended Ended, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: at(accountPath, account) + "/password", in: n}, &ended)
	return ended, err
}

// Tokens lists the tokens and sessions of an account.
func (c *Client) Tokens(ctx context.Context, account string) ([]TokenInfo, error) {
	var out struct{ Tokens []TokenInfo }
	err := c.do(ctx, call{method: http.MethodGet, path: at(accountPath, account) + "/tokens"}, &out)
	return out.Tokens, err
}

// CreateToken makes a device token for an account. A TTL of 0 is for ever.
func (c *Client) CreateToken(ctx context.Context, account string, n auth.NewDevice) (made CreatedToken, err error) {
	if err := auth.CheckDeviceTTL(n.TTL); err != nil { // the API takes whole seconds only
		return made, err
	}
	in := newToken{Name: n.Name, Scope: n.Scope, ExpiresIn: int64(n.TTL / time.Second)}
	err = c.do(ctx, call{method: http.MethodPost, path: at(accountPath, account) + "/tokens", in: in}, &made)
	return made, err
}

// RevokeToken ends a token or a session.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: at(tokenPath, id)}, nil)
}

// RotateKeys makes a new key, which signs from now on. With endTokens older keys are
// dropped, and every token ends.
func (c *Client) RotateKeys(ctx context.Context, endTokens bool) ([]KeyInfo, error) {
	var out struct{ Keys []KeyInfo }
	err := c.do(ctx, call{method: http.MethodPost, path: keysPath, in: newKeys{endTokens}}, &out)
	return out.Keys, err
}

// Invites lists the invitations that can still be used.
func (c *Client) Invites(ctx context.Context) ([]InviteInfo, error) {
	var out struct{ Invites []InviteInfo }
	err := c.do(ctx, call{method: http.MethodGet, path: InvitesPath}, &out)
	return out.Invites, err
}

// CreateInvite makes an invitation. A TTL of 0 is 7 days.
func (c *Client) CreateInvite(ctx context.Context, n auth.NewInvite) (made CreatedInvite, err error) {
	if err := auth.CheckInviteTTL(n.TTL); err != nil { // the API takes whole seconds only
		return made, err
	}
	in := newInvite{Quota: n.Quota, MaxPins: n.QuotaPins, ExpiresIn: int64(n.TTL / time.Second)}
	err = c.do(ctx, call{method: http.MethodPost, path: InvitesPath, in: in}, &made)
	return made, err
}

// RevokeInvite takes an invitation back.
func (c *Client) RevokeInvite(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: at(InvitesPath+"/:id", id)}, nil)
}

// EventFilter selects events of the audit record. The zero value of a field selects all.
type EventFilter struct {
	Account string    // they happened to this account, or this account did them
	Event   string    // a kind, or a group of kinds
	Pin     string    // the ID of a pin request, or a CID
	From    time.Time // the earliest time
}

// Events reads the newest events of the audit record, up to limit of them; 0 means all.
func (c *Client) Events(ctx context.Context, f EventFilter, limit int) ([]Event, error) {
	query := url.Values{}
	for name, s := range map[string]string{"account": f.Account, "event": f.Event, "pin": f.Pin} {
		if s != "" {
			query.Set(name, s)
		}
	}
	if !f.From.IsZero() {
		query.Set("from", f.From.UTC().Format(time.RFC3339Nano))
	}
	all := []Event{}
	for {
		n := auth.MaxEvents
		if limit > 0 {
			n = min(n, limit-len(all))
		}
		query.Set("limit", strconv.Itoa(n))
		var page struct{ Events []Event }
		if err := c.do(ctx, call{method: http.MethodGet, path: AuditPath, query: query}, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Events...)
		if len(page.Events) < n || len(all) == limit {
			return all, nil
		}
		query.Set("before", page.Events[len(page.Events)-1].ID)
	}
}
