package exchange

import (
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
)

// A block with nothing below it is first asked of the peer that sent one last. Others hear of it if that
// lacks it, or does not answer soon.
func TestLikelyPeerIsAskedFirst(t *testing.T) {
	all := someBlocks(8, 100)
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		has, other := n.peer("has", all[:5]...).connect(), n.peer("other", all[5:]...).connect()
		one := func(b blocks.Block, most time.Duration) (toldOther int) {
			t.Helper()
			before := other.counted(func(entry) bool { return true })
			s := n.x.NewSession("", nil)
			defer s.Close()
			if took := get(t, s, []blocks.Block{b}, time.Minute); took > most {
				t.Errorf("%s took %v", b.Cid(), took)
			}
			return other.counted(func(entry) bool { return true }) - before
		}
		const answers = 4 * time.Millisecond // a question and a block, with a millisecond for each
		if told := one(all[0], answers); told == 0 {
			t.Error("before anybody sent a block, not all are asked")
		}
		time.Sleep(time.Second) // the end of the want is told
		for _, b := range all[1:3] {
			if told := one(b, answers); told != 0 {
				t.Errorf("the other was told %d things", told)
			}
		}
		if told := one(all[5], 2*answers); told == 0 {
			t.Error("the other sent a block, and was told nothing")
		}
		one(all[3], 2*answers)
		has.mu.Lock()
		has.mute = true
		has.mu.Unlock()
		if told := one(all[6], soon+tick+answers); told == 0 {
			t.Error("the other sent a block, and was told nothing")
		}
		has.mu.Lock()
		has.mute = false
		has.mu.Unlock()
		one(all[4], 2*answers)

		// What is below others comes from all that have them.
		node, err := blocks.NewBlockWithCid(all[0].RawData(), cid.NewCidV1(cid.DagProtobuf, all[0].Cid().Hash()))
		if err != nil {
			t.Fatal(err)
		}
		if told := one(node, answers); told == 0 {
			t.Error("not all are asked for a node")
		}
		time.Sleep(givesFor)
		if told := one(all[2], answers); told == 0 {
			t.Error("long after a peer sent a block, not all are asked")
		}
	})
}
