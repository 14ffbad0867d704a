package web

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// maxLook is how many of the account's newest events a history looks through for those of one
	// pin: some milliseconds.
	maxLook = 500
	// maxBefore is how many requests back the history goes that a pin replaced.
	maxBefore = 5
	// createdNear is how far the time of a pin may be from the time of its event. Created may run
	// ahead of the clock by a second.
	createdNear = 2 * time.Second
)

// happened is one line of a history.
type happened struct {
	At   time.Time
	What string
	Who  string // in words; "" is that nobody did it, or that it is not known
	More string // anything else
}

// history is what is known of the past of a pin, the newest first: from the audit record, as far as
// that goes back.
func (u *UI) history(c *call, v pin.View) (all []happened, err error) {
	if at, err := time.Parse(time.RFC3339, v.Info["announced"]); err == nil {
		all = append(all, happened{At: at, What: "last announced to the network"})
	}
	if by := v.Totals.By; by != nil && !by.At.IsZero() && v.Status == pin.Pinned {
		all = append(all, happened{At: by.At, What: "all of it was here"})
	}
	names, err := u.tokenNames(c, c.me.Account)
	if err != nil {
		return nil, err
	}
	id, made, told := v.ID, v.Created, false
	for range maxBefore {
		events, err := u.eventsOf(c, id, v.DAG(), made)
		if err != nil {
			return nil, err
		}
		before := ""
		for _, e := range events {
			all = append(all, happened{At: e.Time, What: toldKind(e.Kind), Who: c.who(e, names), More: e.Detail})
			if e.Pin == id && (e.Kind == auth.EventPinAdded || e.Kind == auth.EventPinReplaced) {
				before = e.Was
				told = told || id == v.ID
			}
		}
		if before == "" {
			break
		}
		id, made = before, createdIn(before)
	}
	if !told {
		all = append(all, happened{At: v.Created, What: "asked for"})
	}
	slices.SortStableFunc(all, func(a, b happened) int { return b.At.Compare(a.At) })
	return slices.CompactFunc(all, func(a, b happened) bool { return a == b }), nil
}

// eventsOf are the events of a request that was made at a time: the newest, and those of when it
// was made, which are found also if there are very many since then.
func (u *UI) eventsOf(c *call, id string, d pin.DAG, made time.Time) (events []auth.Event, err error) {
	q := auth.EventQuery{Account: c.me.Account, Kind: auth.EventsOfPins, From: made.Add(-createdNear), Limit: maxLook, Look: maxLook}
	for _, until := range []time.Time{{}, made.Add(createdNear)} {
		q.To = until
		some, err := u.Auth.Events(c.ctx, q)
		if err != nil {
			return nil, err
		}
		for _, e := range some {
			together := e.Kind == auth.EventPinFailed && e.Pin == "" && e.CID == d.String()
			if (e.Pin == id || together) && !slices.ContainsFunc(events, func(o auth.Event) bool { return o.ID == e.ID }) {
				events = append(events, e)
			}
		}
	}
	return events, nil
}

// createdIn is the time in the ID of a request.
func createdIn(id string) time.Time {
	u, err := uuid.Parse(id)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(u.Time().UnixTime()).UTC()
}

// tokenNames are the names of the tokens of an account, by their IDs. Those that are gone have
// none.
func (u *UI) tokenNames(c *call, account string) (map[string]string, error) {
	all, err := u.Auth.ListTokens(c.ctx, account)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, t := range all {
		switch {
		case t.Kind == auth.Session:
			names[t.ID] = "a session"
		case t.Name != "":
			names[t.ID] = "the token “" + t.Name + "”"
		}
	}
	return names, nil
}

// who says who did what an event is about. The names are those of the tokens of the account.
func (c *call) who(e auth.Event, names map[string]string) string {
	if e.Kind == auth.EventPinFailed {
		return ""
	}
	var by []string
	switch {
	case e.Actor == c.me.Account && names[e.Token] != "":
		by = append(by, names[e.Token])
	case e.Actor == c.me.Account:
		by = append(by, "a token that is gone")
	case e.Actor == "" && e.Address == "":
		by = append(by, "the operator of this server")
	default:
		by = append(by, "an admin")
	}
	if e.Address != "" {
		by = append(by, "from "+e.Address)
	}
	return "by " + strings.Join(by, ", ")
}
