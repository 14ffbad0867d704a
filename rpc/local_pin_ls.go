package rpc

import (
	"strconv"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// localPin is an entry of pin/ls. What is behind Type is not Kubo's: for the recursive pins that
// are pinned, how much the DAG has; and with unfinished=true, how far others are.
type localPin struct {
	Cid    string `json:",omitempty"`
	Name   string `json:",omitempty"`
	Type   string `json:",omitempty"`
	Blocks uint64 `json:",omitempty"`
	Bytes  uint64 `json:",omitempty"`
	// Status is that of the request, of one that is not pinned, and Details says what it waits
	// for or why it failed.
	Status  string `json:",omitempty"`
	Details string `json:",omitempty"`
}

// localPinLs lists pins as Kubo does: each CID as it was written. A list of all is streamed page by
// page, and takes no memory. With unfinished=true it lists requests that are not pinned as well.
func localPinLs(q *call) error {
	kind, given := q.values["type"]
	switch {
	case !given:
		kind = anyType
	case kind != recursive && kind != direct && kind != indirect && kind != anyType:
		return refuse("invalid type '%s', must be one of {direct, indirect, recursive, all}", shorten(kind))
	}
	if q.values.is("stream", false) {
		if len(q.args) > 0 { // all of it is known, and a peer of a cluster asks this for each pin several times
			return q.localPins(kind, func(p localPin) error { return q.out.emitLast(p) })
		}
		if err := q.localPins(kind, func(p localPin) error { return q.out.emit(p) }); err != nil {
			return err
		}
		q.out.end()
		return nil
	}
	keys, size := map[string]localPin{}, listed{share: q.share}
	err := q.localPins(kind, func(p localPin) error {
		if err := size.add("pins", p.Cid, p.Name, p.Details); err != nil {
			return err
		}
		text := p.Cid
		p.Cid = ""
		keys[text] = p
		return nil
	})
	if err != nil {
		return err
	}
	return q.out.one(struct {
		Keys map[string]localPin `json:",omitempty"`
	}{keys})
}

// localPins calls emit with what pin/ls lists.
func (q *call) localPins(kind string, emit func(localPin) error) error {
	switch {
	case len(q.args) == 0 && kind == indirect:
		return refuse("what is pinned indirectly is listed only if arguments name it")
	case len(q.args) == 0:
		return q.localAll(kind, emit)
	}
	rows := make([]localPin, len(q.args))
	for i, arg := range q.args {
		c, err := q.toPin(arg)
		if err != nil {
			return err
		}
		row, err := q.localOne(c, kind)
		if err != nil {
			return err
		}
		if row == nil {
			return cannot("path '%s' is not pinned", arg) // ipfs-cluster looks for the last words
		}
		rows[i] = *row
	}
	for _, r := range rows {
		if err := emit(r); err != nil {
			return err
		}
	}
	return nil
}

// localOne is the entry of a CID; nil if it is not pinned in that way.
func (q *call) localOne(c cid.Cid, kind string) (*localPin, error) {
	for _, k := range []string{recursive, direct} {
		if kind != anyType && kind != k {
			continue
		}
		v, err := q.requestAs(written{c, k})
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		if row, err := q.localRow(*v); row != nil || err != nil {
			return row, err
		}
	}
	if kind != anyType && kind != indirect {
		return nil, nil
	}
	via, err := q.pinAbove(c)
	if err != nil || via == nil {
		return nil, err
	}
	return &localPin{Cid: q.cids.Encode(c), Type: "indirect through " + q.cids.Encode(via.Root)}, nil
}

// localAll lists the account's pins, newest first.
func (q *call) localAll(kind string, emit func(localPin) error) error {
	want := pin.Query{Statuses: []pin.Status{pin.Pinned, pin.Pinning}, Limit: pageSize}
	if q.values.is("unfinished", false) {
		want.Statuses = pin.Statuses()
	}
	if name := q.values["name"]; name != "" {
		want.Name, want.Match = name, pin.Partial
	}
	for {
		page, err := q.Pins.List(q.ctx, q.account, want)
		if err != nil {
			return err
		}
		for _, v := range page.Views {
			if kind != anyType && writtenOf(v.Request).kind != kind {
				continue
			}
			row, err := q.localRow(v)
			if err != nil {
				return err
			}
			if row == nil {
				continue
			}
			if err := emit(*row); err != nil {
				return err
			}
		}
		if len(page.Views) < pageSize {
			return nil
		}
		want.Before = page.Views[len(page.Views)-1].Created
	}
}

// localRow is the entry of a request; nil if it is not to be listed.
func (q *call) localRow(v pin.View) (*localPin, error) {
	w := writtenOf(v.Request)
	row := &localPin{Cid: q.cids.Encode(w.cid), Type: w.kind}
	if q.values.is("names", q.values["name"] != "") {
		row.Name = v.Name
	}
	ok, err := q.isPinned(v)
	switch {
	case err != nil:
		return nil, err
	case ok:
		row.Blocks, row.Bytes = v.Totals.Blocks, v.Totals.Bytes
		return row, nil
	case !q.values.is("unfinished", false):
		return nil, nil
	}
	row.Status, row.Details = string(v.Status), v.Info["status_details"]
	row.Blocks, _ = strconv.ParseUint(v.Info["blocks"], 10, 64) // none yet is 0
	row.Bytes, _ = strconv.ParseUint(v.Info["bytes"], 10, 64)
	return row, nil
}
