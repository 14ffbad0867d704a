package node

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

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

// Messages that wait, and keep their blocks meanwhile, may take all memory. They are sent when
// nothing else is under way.
func TestRoomFullOfWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(Limits{Memory: 1, OutstandingBytes: 1}.withDefaults())
		r.memory = 1 << 20
		const peers = 14
		sent, more := dagtest.Leaves(1, 4<<10)[0], dagtest.Leaves(3, messageSize/4+1)
		var running []*turn
		var waiting []chan *turn
		for i := range peers { // each has all that its window takes, and one message waits
			p := peer.ID(fmt.Sprint(i))
			running = append(running, <-asks(t, r, p, messageOf(sent)))
			waiting = append(waiting, asks(t, r, p, messageOf(more[0])))
		}
		for i := range peers { // which others go with
			for _, b := range more[1:] {
				asks(t, r, peer.ID(fmt.Sprint(i)), messageOf(b))
			}
		}
		if used, _ := r.left(); used < r.memory*7/8 {
			t.Fatalf("%d bytes of %d are used", used, r.memory)
		}
		time.Sleep(2 * windowTime) // none of the peers is quick
		for _, turn := range running {
			r.leave(turn)
		}
		synctest.Wait()
		for sent := 0; sent < peers; {
			before := sent
			for _, turned := range waiting {
				select {
				case turn := <-turned:
					r.leave(turn)
					sent++
				default:
				}
			}
			if synctest.Wait(); sent == before {
				t.Fatalf("nothing is under way, and %d peers wait", peers-sent)
			}
		}
	})
}
