package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/psa"
)

// Pin is what a command shows of a pin. Unlike the PSA's object it has no delegates, which
// are for clients that deliver blocks.
type Pin struct {
	RequestID string            `json:"requestid"`
	Status    pin.Status        `json:"status"`
	Created   string            `json:"created"`
	Pin       psa.Pin           `json:"pin"`
	Info      map[string]string `json:"info,omitempty"`
	Account   *Owner            `json:"account,omitempty"` // in lists with pins of several accounts
}

type pinPage struct {
	Count   int   `json:"count"`
	Results []Pin `json:"results"`
}

// Pins reads all pages of an account's pins, newest first.
func (c *Client) Pins(ctx context.Context, account string, statuses []string) ([]Pin, error) {
	const limit = 1000 // the maximum of the PSA
	all := []Pin{}
	query := url.Values{"status": {strings.Join(statuses, ",")}, "limit": {fmt.Sprint(limit)}}
	for {
		var page pinPage
		if err := c.do(ctx, call{method: http.MethodGet, path: psaPath + "/pins", query: query, account: account}, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Results...)
		if page.Count <= len(page.Results) || len(page.Results) == 0 {
			return all, nil
		}
		all = slices.Grow(all, page.Count-len(page.Results))
		query.Set("before", all[len(all)-1].Created)
	}
}

// AddPin makes a request for an account, named by its address or id. "" means the only
// account that there is.
func (c *Client) AddPin(ctx context.Context, account string, p psa.Pin) (made Pin, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: psaPath + "/pins", account: account, in: p}, &made)
	return made, err
}

// Pin reads a request as it is now.
func (c *Client) Pin(ctx context.Context, account, id string) (p Pin, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: onePin(id), account: account}, &p)
	return p, err
}

// RemovePin deletes a request.
func (c *Client) RemovePin(ctx context.Context, account, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: onePin(id), account: account}, nil)
}

// RetryPin tries a failed request again.
func (c *Client) RetryPin(ctx context.Context, account, id string) error {
	return c.do(ctx, call{method: http.MethodPost, path: onePin(id) + "/retry", account: account}, nil)
}

func onePin(id string) string { return psaPath + "/pins/" + url.PathEscape(id) }

// AllPins reads the pins of all accounts, also of accounts that are gone.
func (c *Client) AllPins(ctx context.Context, statuses []string) ([]Pin, error) {
	var known struct{ Owners []Owner }
	if err := c.do(ctx, call{method: http.MethodGet, path: OwnersPath}, &known); err != nil {
		return nil, err
	}
	all := []Pin{}
	for _, owner := range known.Owners {
		pins, err := c.Pins(ctx, owner.ID, statuses)
		if f, ok := errors.AsType[*AnswerError](err); ok && f.Status == http.StatusNotFound {
			continue // its last pin was removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		for i := range pins {
			pins[i].Account = &owner
		}
		all = append(all, pins...)
	}
	return all, nil
}

// RemoveAllPins removes the pins of an account, named by its address or its id. The account
// may be gone.
func (c *Client) RemoveAllPins(ctx context.Context, account string) (gone RemovedPins, err error) {
	err = c.do(ctx, call{method: http.MethodDelete, path: pinsPath, query: url.Values{"account": {account}}}, &gone)
	return gone, err
}

// AdoptPins gives the pins of an account that is gone, by its id, to another.
func (c *Client) AdoptPins(ctx context.Context, from, to string) (done AdoptedPins, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: adoptPath, query: url.Values{"from": {from}, "to": {to}}}, &done)
	return done, err
}
