package web

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
)

const auditPageEvents = 50

// auditBody is what the page of the audit record shows.
type auditBody struct {
	Filter auditFilter
	Kinds  []auth.EventKind
	Events []auditEvent
	Older  string // the path of the next page; "" is none
	Newest string // the path of the first page; "" is this one
}

// auditFilter is what the form of the page says. Days are as the browser sends them.
type auditFilter struct{ Account, Kind, Pin, From, To string }

// Any reports whether the filter leaves something out.
func (f auditFilter) Any() bool { return f != auditFilter{} }

// Kind is the kind that is filtered by.
func (b auditBody) Kind() auth.EventKind { return auth.EventKind(b.Filter.Kind) }

// auditEvent is an event with the address of who did it.
type auditEvent struct {
	admin.Event
	Who  string // the account it happened to, or ""
	By   string // the account that did it, if it is another one
	Bad  bool   // it was refused, or is damaged
	Told string // the kind, in words
	With string // the token by which a pin was changed; "" is none, or that it is not known
}

func (u *UI) auditPage(c *call) error {
	f := auditFilter{c.field("account"), c.field("event"), c.field("pin"), c.field("from"), c.field("to")}
	body := auditBody{Filter: f, Kinds: auth.EventKinds}
	query, names, err := c.auditQuery(f)
	if err != nil {
		if err := c.problem(err); err != nil {
			return err
		}
		return c.render("audit.html", "Audit", body)
	}
	before := c.field("before")
	if before != "" {
		query.Set("before", before)
		body.Newest = auditPath + "?" + f.values().Encode()
	}
	query.Set("limit", strconv.Itoa(auditPageEvents))
	var page struct{ Events []admin.Event }
	if err := c.api(http.MethodGet, admin.AuditPath+"?"+query.Encode(), nil, &page); err != nil {
		return err
	}
	// An account that is gone is named by an event that has its address.
	for _, e := range page.Events {
		if e.Email != "" && e.Account != "" && names[e.Account] == "" {
			names[e.Account] = e.Email
		}
	}
	tokens := map[string]string{}
	for _, e := range page.Events {
		if err := c.nameGone(names, e); err != nil {
			return err
		}
		if err := c.nameToken(tokens, e); err != nil {
			return err
		}
	}
	for _, e := range page.Events {
		one := auditEvent{Event: e, Who: nameOr(e.Email, nameOr(names[e.Account], e.Account)), Told: toldKind(e.Kind), With: tokens[e.Token]}
		if e.Actor != "" && e.Actor != e.Account {
			one.By = nameOr(names[e.Actor], e.Actor)
		}
		one.Bad = strings.HasSuffix(string(e.Kind), "refused") || e.Kind == auth.EventDamaged || e.Kind == auth.EventRefreshReused || e.Kind == auth.EventLoginLimited || e.Kind == auth.EventPinFailed
		body.Events = append(body.Events, one)
	}
	if len(page.Events) == auditPageEvents {
		older := f.values()
		older.Set("before", page.Events[len(page.Events)-1].ID)
		body.Older = auditPath + "?" + older.Encode()
	}
	return c.render("audit.html", "Audit", body)
}

// nameGone finds the address of an account that is gone by the event of its removal.
func (c *call) nameGone(names map[string]string, e admin.Event) error {
	for _, id := range []string{e.Account, e.Actor} {
		if _, known := names[id]; known || id == "" {
			continue
		}
		var page struct{ Events []admin.Event }
		query := url.Values{"account": {id}, "event": {string(auth.EventAccountRemoved)}, "limit": {"1"}}
		if err := c.api(http.MethodGet, admin.AuditPath+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		names[id] = ""
		for _, gone := range page.Events {
			if gone.Account == id {
				names[id] = gone.Email
			}
		}
	}
	return nil
}

// nameToken finds what the token of an event of a pin is called.
func (c *call) nameToken(tokens map[string]string, e admin.Event) error {
	if _, known := tokens[e.Token]; known || e.Token == "" || !e.Kind.OfPins() {
		return nil
	}
	names, err := c.ui.tokenNames(c, e.Actor)
	if err != nil && !errors.Is(err, auth.ErrNoAccount) {
		return err
	}
	maps.Copy(tokens, names)
	if tokens[e.Token] == "" {
		tokens[e.Token] = "a token that is gone, " + e.Token
	}
	return nil
}

func nameOr(name, id string) string {
	if name != "" {
		return name
	}
	return id
}

// toldKind is a kind in words: "login.refused" is "login refused".
func toldKind(k auth.EventKind) string { return strings.ReplaceAll(string(k), ".", " ") }

// auditQuery makes the query of the API, and gives the addresses of all accounts by their IDs.
func (c *call) auditQuery(f auditFilter) (url.Values, map[string]string, error) {
	var all struct{ Accounts []admin.Account }
	if err := c.api(http.MethodGet, admin.AccountsPath, nil, &all); err != nil {
		return nil, nil, err
	}
	names := map[string]string{}
	for _, a := range all.Accounts {
		names[a.ID] = a.Email
	}
	query := url.Values{}
	if f.Kind != "" {
		query.Set("event", f.Kind)
	}
	if f.Pin != "" {
		query.Set("pin", f.Pin)
	}
	if f.Account != "" {
		id := f.Account // also of an account that is gone
		if i := slices.IndexFunc(all.Accounts, func(a admin.Account) bool { return strings.EqualFold(a.Email, f.Account) }); i >= 0 {
			id = all.Accounts[i].ID
		} else if strings.Contains(f.Account, "@") {
			return nil, nil, &auth.InvalidError{Field: "account", Msg: "is of nobody: there is no such account; one that is gone is found by its ID"}
		}
		query.Set("account", id)
	}
	for name, day := range map[string]string{"from": f.From, "to": f.To} {
		if day == "" {
			continue
		}
		t, err := time.Parse(time.DateOnly, day)
		if err != nil {
			return nil, nil, &auth.InvalidError{Field: name, Msg: "must be a day such as 2026-05-31"}
		}
		if name == "to" {
			t = t.AddDate(0, 0, 1) // the day itself is in it
		}
		query.Set(name, t.Format(time.RFC3339))
	}
	return query, names, nil
}

// values are the filter as a query of the page.
func (f auditFilter) values() url.Values {
	v := url.Values{}
	for name, s := range map[string]string{"account": f.Account, "event": f.Kind, "pin": f.Pin, "from": f.From, "to": f.To} {
		if s != "" {
			v.Set(name, s)
		}
	}
	return v
}
