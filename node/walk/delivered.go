package walk

import (
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/node/exchange"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// maxDelivered is how many sources a walk counts one by one: as many peers as a node is
// connected to at a time. They take some 100 KiB.
const maxDelivered = 1024

// delivered counts who sent the blocks of a walk.
type delivered struct {
	before  pin.Delivered // by earlier walks, and by sources for which there was no room any more
	sources map[peer.ID]*pin.Source
}

func (d *delivered) count(a exchange.Arrival) {
	s := d.sources[a.From]
	if s == nil {
		if len(d.sources) == maxDelivered {
			d.before, d.sources = d.sum(), nil
		}
		if d.sources == nil {
			d.sources = make(map[peer.ID]*pin.Source)
		}
		s = &pin.Source{Name: a.Source()}
		d.sources[a.From] = s
	}
	s.Blocks++
	s.Bytes += uint64(len(a.Block.RawData()))
}

// sum is all that was delivered.
func (d *delivered) sum() pin.Delivered {
	all := make([]pin.Source, 0, len(d.sources))
	for _, s := range d.sources {
		all = append(all, *s)
	}
	sum := d.before
	sum.Add(all...)
	return sum
}
