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

// Pin is what a command shows of a pin. Unlike the PSA's object it has
// no delegates, which are for those who deliver.
type Pin struct {
	RequestID string            `json:"requestid"`
	Status    pin.Status        `json:"status"`
	Created   string            `json:"created"`
	Pin       psa.Pin           `json:"pin"`
	Info      map[string]string `json:"info,omitempty"`
	Account   *Owner            `json:"account,omitempty"` // where pins of several are listed
}

type pinPage struct {
	Count   int   `json:"count"`
	Results []Pin `json:"results"`
}

// Pins reads all pages of an account's pins, newest first.
func (c *Client) Pins(ctx context.Context, user string, statuses []string) ([]Pin, error) {
	const limit = 1000 // the most that the PSA gives at once
	all := []Pin{}
	query := url.Values{"status": {strings.Join(statuses, ",")}, "limit": {fmt.Sprint(limit)}}
	for {
		var page pinPage
		if err := c.do(ctx, call{method: http.MethodGet, path: psaPath + "/pins", query: query, user: user}, &page); err != nil {
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

// AddPin makes a request. user is whom it is for, by address or id; "" is the only
// account that there is.
func (c *Client) AddPin(ctx context.Context, user string, p psa.Pin) (made Pin, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: psaPath + "/pins", user: user, in: p}, &made)
	return made, err
}

// Pin gives a request as it is now.
func (c *Client) Pin(ctx context.Context, user, id string) (p Pin, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: onePin(id), user: user}, &p)
	return p, err
}

// RemovePin deletes a request.
func (c *Client) RemovePin(ctx context.Context, user, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: onePin(id), user: user}, nil)
}

// RetryPin has a failed request tried again.
func (c *Client) RetryPin(ctx context.Context, user, id string) error {
	return c.do(ctx, call{method: http.MethodPost, path: onePin(id) + "/retry", user: user}, nil)
}

func onePin(id string) string { return psaPath + "/pins/" + url.PathEscape(id) }

// AllPins reads the pins of all accounts, and of those that are gone.
func (c *Client) AllPins(ctx context.Context, statuses []string) ([]Pin, error) {
	var known struct{ Owners []Owner }
	if err := c.do(ctx, call{method: http.MethodGet, path: OwnersPath}, &known); err != nil {
		return nil, err
	}
	all := []Pin{}
	for _, owner := range known.Owners {
		pins, err := c.Pins(ctx, owner.ID, statuses)
		if f, ok := errors.AsType[*AnswerError](err); ok && f.Status == http.StatusNotFound {
			continue // its last pin went meanwhile
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

// RemoveAllPins removes the pins of an account, which may be gone: it is named by its
// address or its id.
func (c *Client) RemoveAllPins(ctx context.Context, account string) (gone RemovedPins, err error) {
	err = c.do(ctx, call{method: http.MethodDelete, path: pinsPath, query: url.Values{"account": {account}}}, &gone)
	return gone, err
}

// AdoptPins gives the pins of an account that is gone, by its id, to another.
func (c *Client) AdoptPins(ctx context.Context, from, to string) (done AdoptedPins, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: adoptPath, query: url.Values{"from": {from}, "to": {to}}}, &done)
	return done, err
}
