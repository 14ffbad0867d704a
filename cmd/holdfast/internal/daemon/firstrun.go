package daemon

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/web"
)

// firstEmail is the address of the account that a first start makes. Nobody sends mail to
// it.
const firstEmail = "admin@localhost"

// greet makes the first account if a terminal can show it. Else it logs how to make one.
func (p *Program) greet(ctx context.Context) error {
	some, err := p.hasOwner(ctx)
	switch {
	case err != nil || some:
		return err
	case p.Terminal != nil:
		return p.firstAccount(ctx, p.Terminal)
	}
	if p.pages != nil && p.pages.setupCode != "" {
		p.Log.Warn("there is no account yet; open the link to make one, which works once, or run the command",
			"link", p.baseURL()+web.SetupPath(p.pages.setupCode), "command", p.addUserLine())
		return nil
	}
	p.Log.Warn("there is no account yet; make one", "command", p.addUserLine())
	return nil
}

// hasOwner reports whether there is an account of a person.
func (p *Program) hasOwner(ctx context.Context) (bool, error) {
	all, err := p.core.auth.ListAccounts(ctx)
	if err != nil {
		return false, fmt.Errorf("look for accounts: %w", err)
	}
	service := p.serviceAccount()
	return slices.ContainsFunc(all, func(a auth.Account) bool { return a.Email != service }), nil
}

// addUserLine is the command that makes the first account.
func (p *Program) addUserLine() string {
	return fmt.Sprintf("%s user add EMAIL --admin --data %s", cmp.Or(p.Command, "holdfast"), text.ShellQuote(p.Data.Shown))
}

// firstAccount makes an admin account and prints its password and a token. They are kept
// nowhere, so they cannot be shown again.
func (p *Program) firstAccount(ctx context.Context, w io.Writer) error {
	password := rand.Text() // 128 bits
	a, err := p.core.auth.AddAccount(ctx, auth.NewAccount{Email: firstEmail, Password: password, Admin: true})
	if err != nil {
		return fmt.Errorf("make the first account: %w", err)
	}
	_, token, err := p.core.auth.CreateDeviceToken(ctx, a.ID, "first start", 0)
	if err != nil {
		return fmt.Errorf("make the first token: %w", err)
	}
	_, err = fmt.Fprintf(w, `
This server is new, so an admin account was made. This is not shown again:

    address   %s
    password  %s

To pin from Kubo:

    ipfs pin remote service add holdfast %s %s

`, a.Email, password, p.endpoint(), token)
	return err
}

// endpoint is the URL of the pinning service for clients.
func (p *Program) endpoint() string { return endpointAt(p.baseURL()) }

// baseURL is the URL of the server for clients, without a slash at its end.
func (p *Program) baseURL() string {
	return strings.TrimSuffix(cmp.Or(p.Config.HTTP.Public(), p.URL()), "/")
}

// endpointAt is the URL of the pinning service of a server with that base URL.
func endpointAt(base string) string { return strings.TrimSuffix(base, "/") + PSAPath + "/" }
