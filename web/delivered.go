package web

import (
	"strings"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// delivered is who delivered a pin, as its page shows it.
type delivered struct {
	ID      string // of the pin
	Status  pin.Status
	Known   bool
	Sources []source
	Others  int
	Rest    pin.Source
	Here    uint64 // blocks that nobody had to deliver
}

// source is one that delivered.
type source struct {
	pin.Source
	Gateway bool
}

func deliveredOf(v pin.View) delivered {
	d := delivered{ID: v.ID, Status: v.Status, Known: v.Totals.By != nil}
	if !d.Known {
		return d
	}
	d.Others, d.Rest = v.Totals.By.Others, v.Totals.By.Rest
	for _, s := range v.Totals.By.Sources {
		d.Sources = append(d.Sources, source{s, strings.HasPrefix(s.Name, "http")})
	}
	if n := v.Totals.By.Blocks(); v.Status == pin.Pinned && v.Totals.Blocks > n {
		d.Here = v.Totals.Blocks - n
	}
	return d
}
