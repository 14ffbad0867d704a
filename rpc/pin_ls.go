package rpc

import (
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// pageSize is how many requests are read at a time: as many as the PSA lists.
const pageSize = 1000

type (
	listedPin struct {
		Cid  string `json:",omitempty"`
		Name string `json:",omitempty"`
		Type string `json:",omitempty"`
	}
	pinType struct{ Type, Name string }
)

const (
	recursive = "recursive"
	direct    = "direct"
	indirect  = "indirect"
	anyType   = "all"
)

// pinLs lists what the account has pinned. What is pinned indirectly is listed if it is asked
// for by name.
func pinLs(q *call) error {
	kind, given := q.values["type"]
	switch {
	case !given:
		kind = anyType
	case kind != recursive && kind != direct && kind != indirect && kind != anyType:
		return refuse("invalid type '%s', must be one of {direct, indirect, recursive, all}", shorten(kind))
	}
	stream, keys, size := q.values.is("stream", false), map[string]pinType{}, listed{share: q.share}
	emit := func(c cid.Cid, kind, name string) error {
		if !q.values.is("names", q.values["name"] != "") {
			name = ""
		}
		text := q.cids.Encode(c)
		if _, again := keys[text]; again {
			return nil // the account has another request for it, which is newer
		}
		err := size.add("pins", text, name)
		if err == nil {
			keys[text] = pinType{kind, name}
		} else if !stream {
			return err
		}
		if !stream {
			return nil
		}
		return q.out.emit(listedPin{text, name, kind})
	}
	var err error
	switch {
	case len(q.args) > 0:
		err = q.listThese(kind, emit)
	case kind == indirect:
		return refuse("what is pinned indirectly is listed only if arguments name it")
	case kind != direct: // of which there are none
		err = q.listAll(emit)
	}
	if err != nil {
		return err
	}
	if stream {
		q.out.end()
		return nil
	}
	return q.out.one(struct {
		Keys map[string]pinType `json:",omitempty"`
	}{keys})
}

// listThese lists what the arguments name, all of which must be pinned.
func (q *call) listThese(kind string, emit func(c cid.Cid, kind, name string) error) error {
	type row struct {
		cid        cid.Cid
		kind, name string
	}
	rows := make([]row, len(q.args))
	for i, arg := range q.args {
		c, err := q.toPin(arg)
		if err != nil {
			return err
		}
		r, err := q.pinOf(pin.DAGOf(c))
		if err != nil {
			return err
		}
		switch {
		case r != nil && (kind == anyType || kind == recursive):
			rows[i] = row{c, recursive, r.Name}
			continue
		case r == nil && (kind == anyType || kind == indirect):
			via, err := q.pinAbove(c)
			if err != nil {
				return err
			}
			if via != nil {
				rows[i] = row{c, "indirect through " + q.cids.Encode(via.Root), ""}
				continue
			}
		}
		return cannot("path '%s' is not pinned", arg)
	}
	for _, r := range rows {
		if err := emit(r.cid, r.kind, r.name); err != nil {
			return err
		}
	}
	return nil
}

// listAll lists the account's pins, newest first.
func (q *call) listAll(emit func(c cid.Cid, kind, name string) error) error {
	want := pin.Query{Statuses: []pin.Status{pin.Pinned}, Limit: pageSize}
	if name := q.values["name"]; name != "" {
		want.Name, want.Match = name, pin.Partial
	}
	for {
		page, err := q.Pins.List(q.ctx, q.account, want)
		if err != nil {
			return err
		}
		for _, v := range page.Views {
			if err := emit(v.Root, recursive, v.Name); err != nil {
				return err
			}
		}
		if len(page.Views) < pageSize {
			return nil
		}
		want.Before = page.Views[len(page.Views)-1].Created
	}
}
