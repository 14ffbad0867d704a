package web

import (
	"net/url"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// pinList is what the page of the pins shows.
type pinList struct {
	Filter   filter
	Statuses []pin.Status
	Sizes    []int
	Rows     []row
	Count    int // of all that match
	First    int // the place of the first row among them, from 1; 0 if there is none
	Last     int
	Newest   string // links, "" if there is nothing there
	Newer    string
	Older    string
	Bad      string // what is wrong with the filter
}

// Live is the address of the stream of this page.
func (l pinList) Live() string {
	if len(l.Rows) == 0 && l.Filter.before != "" {
		return ""
	}
	q := l.Filter.Query()
	if len(l.Rows) > 0 {
		q += "&top=" + cursor(l.Rows[0].Created)
	}
	return pinsPath + "/live?" + q
}

// Here is the address of this page.
func (l pinList) Here() string { return withQuery(pinsPath, l.Filter.Query()) }

func withQuery(path, query string) string {
	if query == "" {
		return path
	}
	return path + "?" + query
}

// pins shows the list of pins.
func (u *UI) pins(c *call) error {
	list, err := u.listPins(c, readFilter(c.QueryParams()))
	if err != nil {
		return err
	}
	if c.isPart() {
		c.Response().Header().Set("HX-Push-Url", list.Here())
		return c.part("pins.html", "list", list)
	}
	return c.render("pins.html", "Pins", list)
}

// listPins reads a page of the list. A filter that cannot be read is told on the page.
func (u *UI) listPins(c *call, f filter) (list pinList, err error) {
	list = pinList{Filter: f, Statuses: pin.Statuses(), Sizes: pageSizes}
	q, err := f.query()
	if err != nil {
		list.Bad = err.Error()
		c.status = 400
		return list, nil
	}
	all := q
	here, below := cursorTime(f.before)
	if below && (q.Before.IsZero() || here.Before(q.Before)) {
		q.Before = here
	}
	page, err := u.Pins.List(c.ctx, c.me.Account, q)
	if err != nil {
		return list, err
	}
	list.Count = page.Count
	if below {
		all.Limit = 0
		whole, err := u.Pins.List(c.ctx, c.me.Account, all)
		if err != nil {
			return list, err
		}
		list.Count = whole.Count
		list.Newest = withQuery(pinsPath, f.at("", nil))
		list.Newer = list.Newest
		if n := len(f.trail); n > 0 {
			list.Newer = withQuery(pinsPath, f.at(f.trail[n-1], f.trail[:n-1]))
		}
	}
	going := u.removed.going(c.me.Account)
	may := c.me.Require("pin") == nil
	for _, v := range page.Views {
		r := rowOf(v, going)
		r.May = may
		list.Rows = append(list.Rows, r)
	}
	if n := len(list.Rows); n > 0 {
		list.First = list.Count - page.Count + 1
		list.Last = list.First + n - 1
		if page.Count > n {
			trail := f.trail
			if below {
				trail = append(trail[:len(trail):len(trail)], f.before)
			}
			list.Older = withQuery(pinsPath, f.at(cursor(list.Rows[n-1].Created), trail[max(0, len(trail)-maxTrail):]))
		}
	}
	return list, nil
}

// samePage leads back to a page of the list that a form came from.
func samePage(query string) string {
	v, err := url.ParseQuery(query)
	if err != nil {
		return pinsPath
	}
	return withQuery(pinsPath, readFilter(v).Query())
}
