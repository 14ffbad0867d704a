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
		if err := c.Do(ctx, http.MethodGet, "/psa/pins", query, ActingFor(user), nil, &page); err != nil {
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

func ActingFor(email string) http.Header {
	if email == "" {
		return nil
	}
	return http.Header{userHeader: {url.QueryEscape(email)}}
}

// AddPin makes a request.
func (c *Client) AddPin(ctx context.Context, user string, p psa.Pin) (made Pin, err error) {
	return made, c.Do(ctx, http.MethodPost, "/psa/pins", nil, ActingFor(user), p, &made)
}

// pin gives a request as it is now.
func (c *Client) pin(ctx context.Context, user, id string) (p Pin, err error) {
	return p, c.Do(ctx, http.MethodGet, "/psa/pins/"+url.PathEscape(id), nil, ActingFor(user), nil, &p)
}

// removePin deletes a request.
func (c *Client) removePin(ctx context.Context, user, id string) error {
	return c.Do(ctx, http.MethodDelete, "/psa/pins/"+id, nil, ActingFor(user), nil, nil)
}

// RetryPin has a failed request tried again.
func (c *Client) RetryPin(ctx context.Context, user, id string) error {
	return c.Do(ctx, http.MethodPost, "/psa/pins/"+id+"/retry", nil, ActingFor(user), nil, nil)
}

// AllPins reads the pins of all accounts, and of those that are gone.
func (c *Client) AllPins(ctx context.Context, statuses []string) ([]Pin, error) {
	var owners []Owner
	if err := c.Do(ctx, http.MethodGet, "/owners", nil, nil, nil, &owners); err != nil {
		return nil, err
	}
	all := []Pin{}
	for _, owner := range owners {
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
	return gone, c.Do(ctx, http.MethodDelete, "/pins", url.Values{"account": {account}}, nil, nil, &gone)
}

// AdoptPins gives the pins of an account that is gone, by its id, to another.
func (c *Client) AdoptPins(ctx context.Context, from, to string) (done AdoptedPins, err error) {
	return done, c.Do(ctx, http.MethodPost, "/pins/adopt", url.Values{"from": {from}, "to": {to}}, nil, nil, &done)
}
