package dagcar

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
)

// atMost has room for so many bytes.
type atMost struct{ left int64 }

func (a *atMost) Grow(bytes int64) error {
	if a.left < bytes {
		return errors.New("full")
	}
	a.left -= bytes
	return nil
}

// If there is no room for the links that are kept, fewer are, and the CAR is the same.
func TestLinksCountForAShare(t *testing.T) {
	const levels, wide = 8, 1000
	top := dagtest.Raw("bottom")
	all := []blocks.Block{top}
	for i := range levels {
		leaf := dagtest.Raw(fmt.Sprint("leaf", i))
		below := []cid.Cid{top.Cid()}
		for len(below) < wide {
			below = append(below, leaf.Cid())
		}
		top = dagtest.PB(fmt.Sprint(i), below...)
		all = append(all, leaf, top)
	}
	s := newShelf(all...)
	write := func(links int64) ([]byte, error) {
		share := &atMost{left: links * linkMemory}
		var out bytes.Buffer
		err := Write(t.Context(), &out, Link{CID: top.Cid()}, Config{Source: s.source, Links: allLinks, Seen: newSeen(t), Share: share})
		if err == nil && share.left < (links-1)*linkMemory { // the last may count until the share ends
			t.Errorf("%d links count at the end", links-share.left/linkMemory)
		}
		return out.Bytes(), err
	}
	whole, err := write(levels * wide)
	if err != nil {
		t.Fatal(err)
	}
	if some, err := write(3 * wide); err != nil || !bytes.Equal(some, whole) {
		t.Errorf("with little room %d of %d bytes come, %v", len(some), len(whole), err)
	}
	if _, err := write(wide); err == nil {
		t.Error("without room for the links of two blocks it ends well")
	}
}
