package moving

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// PSA is an account at a service that speaks the Pinning Services API. It is a [Source] and a
// [Target].
//
// Its lists are paged by the time of creation, which may be the same for many requests, or be
// written more roughly than the service keeps it. So a page begins a unit of the written time
// later than the page before ended, and what comes twice is dropped by its id.
type PSA struct {
	api *api
	// Unfinished says that pins which are not pinned at the source come too.
	Unfinished bool
	// Exact says that the service keeps CIDs and metadata as they are sent. Others change both.
	Exact bool
}

// NewPSA makes a client of a service. It makes no request.
func NewPSA(s Server) (*PSA, error) {
	s.URL = strings.TrimSuffix(strings.TrimRight(s.URL, "/"), "/pins") // as people copy it
	a, err := s.open("the pinning service")
	if err != nil {
		return nil, err
	}
	return &PSA{api: a}, nil
}

// pageLimit is the maximum of the PSA. A service may give less.
const pageLimit = 1000

// maxPins bounds what is listed of one place: that it was seen takes some 200 bytes of memory
// for each.
const maxPins = 5_000_000

var errTooMany = fmt.Errorf("there are more than %d pins", maxPins)

// psaStatus is a PinStatus, as services send it. Go reads names in any case.
type psaStatus struct {
	RequestID string    `json:"requestid"`
	Status    string    `json:"status"`
	Created   string    `json:"created"`
	Pin       wirePin   `json:"pin"`
	Delegates []string  `json:"delegates"`
	Info      looseMeta `json:"info"`
}

func (s psaStatus) request() Request {
	return Request{
		ID: s.RequestID, Pin: s.Pin.pin(), Status: pin.Status(strings.ToLower(s.Status)),
		Details: s.Info["status_details"], Blocks: s.Info["blocks"], Delegates: s.Delegates,
	}
}

// Each lists the pins of the account.
func (p *PSA) Each(ctx context.Context, fn func(Pin) error) error {
	return p.list(ctx, pin.Statuses(), func(s psaStatus) error {
		r := s.request()
		one := r.Pin
		one.Origins = slices.Concat(s.Delegates[:min(len(s.Delegates), maxAddrs)], one.Origins) // the delegates have it
		switch {
		case r.Status == pin.Pinned, p.Unfinished && !r.Status.Done():
		case r.Status == pin.Failed:
			one.LeftOut = "it failed at the source"
		default:
			one.LeftOut = "it is not pinned at the source"
		}
		return fn(one)
	})
}

// Requests lists requests of the account.
func (p *PSA) Requests(ctx context.Context, statuses []pin.Status, fn func(Request) error) error {
	return p.list(ctx, statuses, func(s psaStatus) error { return fn(s.request()) })
}

// maxOrigins is how many origins the PSA allows. Services refuse a request with more.
const maxOrigins = 20

// Add makes a request. A service that is not Exact gets the first origins, if there are more than
// it may take.
func (p *PSA) Add(ctx context.Context, one Pin, key string) (Request, error) {
	if !p.Exact {
		one.Origins = one.Origins[:min(len(one.Origins), maxOrigins)]
	}
	var made psaStatus
	header := http.Header{"Idempotency-Key": {`"` + key + `"`}}
	if err := p.api.read(ctx, http.MethodPost, "/pins", nil, one, header, &made); err != nil {
		return Request{}, err
	}
	return made.request(), nil
}

// Same is what stands for the CID, the name and, with Exact, the metadata of a pin.
func (p *PSA) Same(one Pin) string { return identity(one, !p.Exact) }

// list calls fn once with each request of some statuses.
func (p *PSA) list(ctx context.Context, statuses []pin.Status, fn func(psaStatus) error) error {
	words := make([]string, len(statuses))
	for i, s := range statuses {
		words[i] = string(s)
	}
	query := url.Values{"status": {strings.Join(words, ",")}, "limit": {fmt.Sprint(pageLimit)}}
	seen := map[string]struct{}{}
	count, newest, oldest, overlap := 0, stamp{}, stamp{}, true
	for first := true; ; first = false {
		page, err := p.page(ctx, query)
		if err != nil {
			return err
		}
		if first {
			count = page.Count
		}
		before := len(seen)
		for _, s := range page.Results {
			at, err := parseStamp(s.Created)
			switch {
			case s.RequestID == "":
				return errors.New("the service lists a pin without an id")
			case err != nil:
				return err
			}
			if oldest.time.IsZero() || at.time.Before(oldest.time) {
				oldest = at
			}
			if first && at.time.After(newest.time) {
				newest = at
			}
			if _, again := seen[s.RequestID]; again {
				continue
			}
			if len(seen) == maxPins {
				return errTooMany
			}
			seen[s.RequestID] = struct{}{}
			if err := fn(s); err != nil {
				return err
			}
		}
		news := len(seen) > before
		switch {
		case news:
			overlap = true
		case overlap && len(page.Results) > 0:
			overlap = false // the page has nothing else of that time: go past it
		case len(seen) < count:
			return p.recount(ctx, query, count, newest, len(seen))
		default:
			return nil
		}
		query.Set("before", oldest.before(overlap))
	}
}

// psaPage is a page of a list.
type psaPage struct {
	Count   int         `json:"count"`
	Results []psaStatus `json:"results"`
}

func (p *PSA) page(ctx context.Context, query url.Values) (page psaPage, err error) {
	err = p.api.read(ctx, http.MethodGet, "/pins", query, nil, nil, &page)
	return page, err
}

// recount returns an error if a list is shorter than it should be. Pins that were removed while
// they were listed, or that have another status since, are not missing, so the service is asked
// again how many there are. What was made since the first page is not counted.
func (p *PSA) recount(ctx context.Context, query url.Values, count int, newest stamp, listed int) error {
	query.Set("limit", "1")
	query.Del("before")
	if !newest.time.IsZero() {
		query.Set("before", newest.before(true))
	}
	page, err := p.page(ctx, query)
	if err != nil {
		return err
	}
	if count = min(count, page.Count); listed < count {
		return fmt.Errorf("the service has %d pins and listed %d of them", count, listed)
	}
	return nil
}

// stamp is a time as a service writes it.
type stamp struct {
	time time.Time
	unit time.Duration // of its last digit
}

// parseStamp reads a time of RFC 3339. Without a zone, it is UTC.
func parseStamp(text string) (stamp, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00"} {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		s := stamp{t.UTC(), time.Second}
		if _, fraction, ok := strings.Cut(text, "."); ok {
			for i := 0; i < len(fraction) && i < 9 && '0' <= fraction[i] && fraction[i] <= '9'; i++ {
				s.unit /= 10
			}
		}
		return s, nil
	}
	return stamp{}, fmt.Errorf("the service lists a pin whose time of creation cannot be read: %.40q", text)
}

// before is the parameter that lists what is older. With overlap, what has the same time is
// listed too.
func (s stamp) before(overlap bool) string {
	t := s.time
	if overlap {
		t = t.Add(s.unit)
	}
	digits := 0
	for u := s.unit; u < time.Second; u *= 10 {
		digits++
	}
	layout := "2006-01-02T15:04:05"
	if digits > 0 {
		layout += "." + strings.Repeat("0", digits)
	}
	return t.Format(layout + "Z")
}
