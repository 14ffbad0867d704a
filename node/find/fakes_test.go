package find

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// key is the CID of a block that nobody ever sees.
func key(n int) cid.Cid {
	sum, err := multihash.Sum(binary.BigEndian.AppendUint64(nil, uint64(n)), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(cid.Raw, sum)
}

func dag(n int) pin.DAG { return pin.DAGOf(key(n)) }

// who is a peer at the addresses given.
func who(n int, addrs ...string) peer.AddrInfo {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	h, err := multihash.Encode(sum[:], multihash.SHA2_256)
	if err != nil {
		panic(err)
	}
	ai := peer.AddrInfo{ID: peer.ID(h)}
	for _, a := range addrs {
		ai.Addrs = append(ai.Addrs, ma.StringCast(a))
	}
	return ai
}

// step is what a fake source does next.
type step struct {
	after time.Duration
	ai    peer.AddrInfo
}

// source says what it knows bit by bit, and then, if it hangs, nothing more.
type source struct {
	steps []step
	hangs bool
}

func (s source) FindProvidersAsync(ctx context.Context, _ cid.Cid, _ int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	go func() {
		defer close(out)
		for _, st := range s.steps {
			select {
			case <-time.After(st.after):
			case <-ctx.Done():
				return
			}
			select {
			case out <- st.ai:
			case <-ctx.Done():
				return
			}
		}
		if s.hangs {
			<-ctx.Done()
		}
	}()
	return out
}

// collect reads a channel to its end.
func collect(ch <-chan peer.AddrInfo) (all []peer.AddrInfo) {
	for ai := range ch {
		all = append(all, ai)
	}
	return all
}

func same(t *testing.T, got []peer.AddrInfo, want ...peer.AddrInfo) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i].String() != want[i].String() {
			t.Errorf("number %d is %v, want %v", i, got[i], want[i])
		}
	}
}
