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

// Where a method takes who, that is an account's id; by the socket also its address.

// at is a path of an account, a token or an invitation.
func at(path, id string) string { return strings.Replace(path, ":id", url.PathEscape(id), 1) }

// Server says who answers.
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

// Account gives an account.
func (c *Client) Account(ctx context.Context, who string) (Account, error) {
	return c.changed(ctx, call{method: http.MethodGet, path: at(accountPath, who)})
}

// SetQuota sets what an account may pin.
func (c *Client) SetQuota(ctx context.Context, who string, n NewQuota) (Account, error) {
	return c.changed(ctx, call{method: http.MethodPost, path: at(accountPath, who) + "/quota", in: n})
}

// SetAdmin makes an account an admin's, or one that is no admin's any more.
func (c *Client) SetAdmin(ctx context.Context, who string, isAdmin bool) (Account, error) {
	return c.changed(ctx, call{method: http.MethodPost, path: at(accountPath, who) + "/role", in: NewRole{&isAdmin}})
}

// Disable ends all that an account may do, and its tokens.
func (c *Client) Disable(ctx context.Context, who string) (Account, error) {
	return c.changed(ctx, call{method: http.MethodPost, path: at(accountPath, who) + "/disable"})
}

// Enable undoes Disable, but for the tokens.
func (c *Client) Enable(ctx context.Context, who string) (Account, error) {
	return c.changed(ctx, call{method: http.MethodPost, path: at(accountPath, who) + "/enable"})
}

// changed makes a request that is answered with an account.
func (c *Client) changed(ctx context.Context, r call) (Account, error) {
	var out struct{ Account Account }
	err := c.do(ctx, r, &out)
	return out.Account, err
}

// RemoveAccount removes an account, and its pins unless they are to be kept.
func (c *Client) RemoveAccount(ctx context.Context, who string, keepPins bool) (gone RemovedAccount, err error) {
	query := url.Values{}
	if keepPins {
		query.Set("pins", "keep")
	}
	err = c.do(ctx, call{method: http.MethodDelete, path: at(accountPath, who), query: query}, &gone)
	return gone, err
}

// SetPassword gives an account another password.
func (c *Client) SetPassword(ctx context.Context, who string, n NewPassword) (ended Ended, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: at(accountPath, who) + "/password", in: n}, &ended)
	return ended, err
}

// Tokens lists the tokens and sessions of an account.
func (c *Client) Tokens(ctx context.Context, who string) ([]TokenInfo, error) {
	var out struct{ Tokens []TokenInfo }
	err := c.do(ctx, call{method: http.MethodGet, path: at(accountPath, who) + "/tokens"}, &out)
	return out.Tokens, err
}

// CreateToken makes a device token for an account. A TTL of 0 is for ever.
func (c *Client) CreateToken(ctx context.Context, who string, n auth.NewDevice) (made CreatedToken, err error) {
	if err := auth.CheckDeviceTTL(n.TTL); err != nil { // the API has whole seconds
		return made, err
	}
	in := newToken{Name: n.Name, Scope: n.Scope, ExpiresIn: int64(n.TTL / time.Second)}
	err = c.do(ctx, call{method: http.MethodPost, path: at(accountPath, who) + "/tokens", in: in}, &made)
	return made, err
}

// RevokeToken ends a token or a session.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: at(tokenPath, id)}, nil)
}

// RotateKeys has another key sign from now on. With endTokens those before it are
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
	if err := auth.CheckInviteTTL(n.TTL); err != nil { // the API has whole seconds
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

// Events reads the newest events of the audit record, at most limit; 0 is all. who, if
// not "", is whom they happened to, or who did them; from is the earliest time.
func (c *Client) Events(ctx context.Context, who string, from time.Time, limit int) ([]Event, error) {
	query := url.Values{}
	if who != "" {
		query.Set("account", who)
	}
	if !from.IsZero() {
		query.Set("from", from.UTC().Format(time.RFC3339Nano))
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
