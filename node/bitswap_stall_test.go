package node

import (
	"testing"
	"testing/synctest"

	"github.com/ipfs/boxo/bitswap/message"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
)

// asks has a message wait for its turn. The turn comes by the channel; nil says that the message
// went with another one.
func asks(t *testing.T, r *room, p peer.ID, m message.BitSwapMessage) chan *turn {
	t.Helper()
	turned := make(chan *turn, 1)
	go func() {
		got, err := r.enter(t.Context(), p, m)
		if err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		turned <- got
	}()
	synctest.Wait()
	return turned
}

// A small message that waits may become large, as others are put into it. It keeps its place, and
// neither it nor one that was large from the start keeps the other from being sent.
func TestRoomForAMessageThatGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(Limits{Memory: 1}.withDefaults())
		all, err := r.enter(t.Context(), "all", messageOf(dagtest.Leaves(1, r.memory/2)...))
		if err != nil {
			t.Fatal(err)
		}
		small := dagtest.Leaves(2, messageSize/5)
		grows := asks(t, r, "grows", messageOf(small[0]))
		large := asks(t, r, "large", messageOf(dagtest.Leaves(1, messageSize/2)...))
		if got := <-asks(t, r, "grows", messageOf(small[1])); got != nil {
			t.Fatal("the second message does not go with the first")
		}
		if len(grows) != 0 || len(large) != 0 {
			t.Fatal("a message is sent with no memory left")
		}
		r.leave(all)
		synctest.Wait()
		if len(grows) != 1 || len(large) != 1 {
			t.Fatalf("with all memory free, %d and %d of 1 messages are sent", len(grows), len(large))
		}
		r.leave(<-grows)
		r.leave(<-large)
		if used, waits := r.left(); used != 0 || waits != 0 {
			t.Errorf("%d bytes and %d turns are left", used, waits)
		}
	})
}
