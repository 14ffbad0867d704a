package web

import (
	"errors"
	"maps"
	"net/url"
	gopath "path"
	"slices"
	"strconv"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// pinPage is what the page of one pin shows.
type pinPage struct {
	Row     row
	Meta    []pair
	Origins []string
	Ignored string // origins that are not used, and why
	Same    []row  // other requests of the account for the same content
	History []happened
	By      delivered
	Lines   []codeLine
	Gateway string   // the address of the content at the gateway; "" if there is none
	Files   *listing // nil: it is no directory, or not whole
	File    *file    // nil: it is no file
	Broken  string   // why the content cannot be shown; "" if it can
}

type pair struct{ Key, Value string }

// codeLine is a command to copy.
type codeLine struct{ ID, Label, Text string }

// file is a file in a pin.
type file struct {
	ID, Path, Name string
	Kind           string // of its preview; "" is none
}

// maxSame is how many other requests for the same content are shown.
const maxSame = 20

func (u *UI) pinPage(c *call) error {
	v, err := u.pin(c)
	if err != nil {
		return err
	}
	p := pinPage{Row: rowOf(v, u.removed.going(c.me.Account)), Origins: v.Addresses(), Ignored: v.Info[pin.InfoOriginsIgnored]}
	p.Row.May = c.me.Require(auth.ScopePin) == nil
	for _, k := range slices.Sorted(maps.Keys(v.Meta)) {
		p.Meta = append(p.Meta, pair{k, v.Meta[k]})
	}
	if p.Same, err = u.sameContent(c, v); err != nil {
		return err
	}
	if p.History, err = u.history(c, v); err != nil {
		return err
	}
	p.By = deliveredOf(v)
	p.Lines = u.linesFor(v)
	if u.Gateway != "" {
		p.Gateway = u.Gateway + "/ipfs/" + v.CID
	}
	if v.Status == pin.Pinned {
		if err := u.content(c, v, &p); err != nil {
			return err
		}
	}
	return c.render("pin.html", p.Row.Title(), p)
}

// content looks at what is pinned. What cannot be shown is no fault of the page.
func (u *UI) content(c *call, v pin.View, p *pinPage) error {
	begin, _, dir, err := u.start(c, v, "", peek)
	if err == nil && dir {
		l, err := u.list(c, v, "", 0)
		p.Files = &l
		return u.broken(p, err)
	}
	if err == nil {
		kind, _ := kindOf(begin)
		p.File = &file{ID: v.ID, Name: p.Row.Title(), Kind: kind}
	}
	return u.broken(p, err)
}

func (u *UI) broken(p *pinPage, err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		p.Broken, p.Files, p.File = f.text, nil, nil
		return nil
	}
	return err
}

// sameContent lists the other requests of the account for what the pin has.
func (u *UI) sameContent(c *call, v pin.View) (rows []row, err error) {
	d := v.DAG()
	if d == "" {
		return nil, nil
	}
	page, err := u.Pins.List(c.ctx, c.me.Account, pin.Query{Statuses: pin.Statuses(), DAGs: []pin.DAG{d}, Limit: maxSame + 1})
	if err != nil {
		return nil, err
	}
	for _, other := range page.Views {
		if other.ID != v.ID {
			rows = append(rows, rowOf(other, nil))
		}
	}
	return rows, nil
}

// linesFor are commands by which a Kubo gets the content.
func (u *UI) linesFor(v pin.View) []codeLine {
	var connect string
	if all := u.Delegates(); len(all) > 0 {
		connect = "ipfs swarm connect " + all[0] + "\n"
	}
	return []codeLine{
		{"kubo-get", "Save it to disk", connect + "ipfs get " + text.ShellQuote(v.CID)},
		{"kubo-pin", "Pin it in a Kubo of yours", connect + "ipfs pin add " + text.ShellQuote(v.CID)},
	}
}

// files shows a directory in a pin: a part of the tree for htmx, else a page.
func (u *UI) files(c *call) error {
	v, path, err := u.whole(c)
	if err != nil {
		return err
	}
	skip, err := strconv.Atoi(c.QueryParam("skip"))
	if err != nil || skip < 0 {
		skip = 0
	}
	l, err := u.list(c, v, path, skip)
	if err != nil {
		return err
	}
	if c.isPart() {
		return c.part("pin.html", "entries", l)
	}
	return c.render("files.html", gopath.Base("/"+path), filesPage{rowOf(v, nil), l})
}

type filesPage struct {
	Row   row
	Files listing
}

// filePage shows one file in a pin.
func (u *UI) filePage(c *call) error {
	v, path, err := u.whole(c)
	if err != nil {
		return err
	}
	begin, _, dir, err := u.start(c, v, path, peek)
	if err != nil {
		return err
	}
	if dir {
		return c.seeOther(pinsPath + "/" + v.ID + "/files?path=" + url.QueryEscape(path))
	}
	kind, _ := kindOf(begin)
	return c.render("file.html", gopath.Base("/"+path), struct {
		Row  row
		File file
	}{rowOf(v, nil), file{v.ID, path, gopath.Base("/" + path), kind}})
}
