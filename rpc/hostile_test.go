package rpc

import (
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	unixfs_pb "github.com/ipfs/boxo/ipld/unixfs/pb"
	ipld "github.com/ipfs/go-ipld-format"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Whatever a node says of itself, reading it is refused or answered: it ends neither the
// server nor is it taken for the server's fault.
func TestHostileNodes(t *testing.T) {
	w := newWorld(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...uint64) *uint64 {
		if rnd.IntN(3) == 0 {
			return nil
		}
		return &from[rnd.IntN(len(from))]
	}
	types := []unixfs_pb.Data_DataType{unixfs_pb.Data_Raw, unixfs_pb.Data_Directory, unixfs_pb.Data_File, unixfs_pb.Data_Metadata,
		unixfs_pb.Data_Symlink, unixfs_pb.Data_HAMTShard, unixfs_pb.Data_HAMTShard, unixfs_pb.Data_HAMTShard, 9}
	names := []string{"", "0", "00", "00x", "FFa", "zz", "0Fab", "a", "000000x", "ffffffffffffffff1"}
	pool := []ipld.Node{w.add(merkledag.NewRawNode([]byte("x"))), w.file(numbered(2500)), w.dir()}
	for range 300 {
		d := &unixfs_pb.Data{
			Type: &types[rnd.IntN(len(types))], Fanout: pick(0, 1, 2, 8, 16, 255, 256, 1024, 1<<20, 1<<40, 1<<64-1),
			HashType: pick(0x22, 0x22, 0, 0x23), Filesize: pick(0, 1, 5000, 1<<62, 1<<64-1), Data: make([]byte, rnd.IntN(40)),
		}
		for i := range d.Data {
			d.Data[i] = 1 << rnd.IntN(16) // most often 0: few of a shard's bits are set
		}
		links := rnd.IntN(6)
		for range rnd.IntN(links + 1) {
			d.Blocksizes = append(d.Blocksizes, []uint64{0, 1, 1000, 1 << 63, 1<<64 - 1}[rnd.IntN(5)])
		}
		data, err := proto.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		nd := merkledag.NodeWithData(data)
		for range links {
			if err := nd.AddNodeLink(names[rnd.IntN(len(names))], pool[rnd.IntN(len(pool))]); err != nil {
				t.Fatal(err)
			}
		}
		pool = append(pool, w.add(nd))
		clear(w.pins)
		w.pin("alice", nd.Cid(), pin.Pinned)
		for _, command := range []string{"ls", "cat", "get", "refs", "dag/get", "dag/stat", "dag/export"} {
			for _, path := range []string{"", "/a", "/x"} {
				if a := w.ask("alice", command, arg(nd.Cid().String()+path)); a.status != http.StatusOK && a.status != http.StatusBadRequest {
					t.Errorf("%s of %v at %q answers %d %s", command, d, path, a.status, a.body)
				}
			}
		}
	}
	if logged := w.lines.String(); logged != "" {
		t.Errorf("the log has %.3000s", logged)
	}
}
