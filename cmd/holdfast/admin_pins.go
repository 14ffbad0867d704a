package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/psa"
)

// pinRequest is what a command shows of a pin. Unlike the PSA's object it has
// no delegates, which are for those who deliver.
type pinRequest struct {
	RequestID string            `json:"requestid"`
	Status    pin.Status        `json:"status"`
	Created   string            `json:"created"`
	Pin       psa.Pin           `json:"pin"`
	Info      map[string]string `json:"info,omitempty"`
}

type pinPage struct {
	Count   int          `json:"count"`
	Results []pinRequest `json:"results"`
}

// pins reads all pages of an account's pins, newest first.
func (c *adminClient) pins(ctx context.Context, user string, statuses []string) ([]pinRequest, error) {
	const limit = 1000 // the most that the PSA gives at once
	all := []pinRequest{}
	query := url.Values{"status": {strings.Join(statuses, ",")}, "limit": {fmt.Sprint(limit)}}
	for {
		var page pinPage
		if err := c.do(ctx, http.MethodGet, "/psa/pins", query, actingFor(user), nil, &page); err != nil {
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

func actingFor(email string) http.Header {
	if email == "" {
		return nil
	}
	return http.Header{userHeader: {url.QueryEscape(email)}}
}

// addPin makes a request.
func (c *adminClient) addPin(ctx context.Context, user string, p psa.Pin) (made pinRequest, err error) {
	return made, c.do(ctx, http.MethodPost, "/psa/pins", nil, actingFor(user), p, &made)
}

// pin gives a request as it is now.
func (c *adminClient) pin(ctx context.Context, user, id string) (p pinRequest, err error) {
	return p, c.do(ctx, http.MethodGet, "/psa/pins/"+url.PathEscape(id), nil, actingFor(user), nil, &p)
}

// removePin deletes a request.
func (c *adminClient) removePin(ctx context.Context, user, id string) error {
	return c.do(ctx, http.MethodDelete, "/psa/pins/"+id, nil, actingFor(user), nil, nil)
}

// retryPin has a failed request tried again.
func (c *adminClient) retryPin(ctx context.Context, user, id string) error {
	return c.do(ctx, http.MethodPost, "/psa/pins/"+id+"/retry", nil, actingFor(user), nil, nil)
}
