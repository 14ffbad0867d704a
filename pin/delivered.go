package pin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxSources is how many sources are named of those that delivered a DAG: enough for
// whoever asks which peer or gateway it was, and some 300 bytes of each pin.
const maxSources = 5

// Delivered says who delivered the blocks of a DAG. Blocks that were here already, or that
// came before a restart, are not in it. The zero value is that nothing was delivered.
type Delivered struct {
	At      time.Time // when the DAG was complete, in milliseconds; zero while it is fetched
	Sources []Source  // at most 5; the one with the most blocks comes first
	Others  int       // how many more there are
	Rest    Source    // what they delivered together; it has no name
}

// Source is who delivered blocks, and how many.
type Source struct {
	Name   string // the ID of a peer, or the URL of a gateway
	Blocks uint64
	Bytes  uint64
}

// Add counts what sources delivered. Sources beyond the first few, in the order of what
// they delivered, are among the others from then on, and are counted there again if they
// deliver more later.
func (d *Delivered) Add(sources ...Source) {
	all := slices.Clone(d.Sources)
	for _, s := range sources {
		if i := slices.IndexFunc(all, func(o Source) bool { return o.Name == s.Name }); i >= 0 {
			all[i].Blocks += s.Blocks
			all[i].Bytes += s.Bytes
		} else {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b Source) int {
		return cmp.Or(cmp.Compare(b.Blocks, a.Blocks), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
	n := min(len(all), maxSources)
	d.Others += len(all) - n
	for _, s := range all[n:] {
		d.Rest.Blocks += s.Blocks
		d.Rest.Bytes += s.Bytes
	}
	d.Sources = all[:n:n]
}

// Blocks is how many blocks were delivered.
func (d Delivered) Blocks() uint64 {
	n := d.Rest.Blocks
	for _, s := range d.Sources {
		n += s.Blocks
	}
	return n
}

// String names the sources: "ID (3 blocks, 700 bytes), URL (1 block, 200 bytes), and 2
// others (4 blocks, 900 bytes)". "" is that there are none.
func (d Delivered) String() string {
	var parts []string
	for _, s := range d.Sources {
		parts = append(parts, fmt.Sprintf("%s (%s)", s.Name, s.amount()))
	}
	if d.Others > 0 {
		parts = append(parts, fmt.Sprintf("and %d others (%s)", d.Others, d.Rest.amount()))
	}
	return strings.Join(parts, ", ")
}

func (s Source) amount() string {
	blocks := "blocks"
	if s.Blocks == 1 {
		blocks = "block"
	}
	return fmt.Sprintf("%d %s, %d bytes", s.Blocks, blocks, s.Bytes)
}
