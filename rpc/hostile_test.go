package rpc

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
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

// A client may end its side of the connection and still read. An answer that stays a part because of
// that does not end as a whole one would.
func TestHalfClosedIsNoSuccess(t *testing.T) {
	w, l := newWorld(t), newLocalWorld(t)
	for door, of := range map[string]*world{"accounts": w, "local": l.world} {
		c := of.dir().Cid()
		of.onGet = func(v *pin.View) { v.Info = map[string]string{"blocks": "5", "bytes": "50"} }
		u, err := url.Parse(of.url)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /api/v0/pin/add?%s&progress=true HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer alice\r\nContent-Length: 0\r\n\r\n", arg(c), u.Host)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := res.Body.Read(make([]byte, 1)); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: it answers %d, %v", door, res.StatusCode, err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(res.Body); err == nil && res.Trailer.Get(headerStreamError) == "" {
			t.Errorf("%s: the answer ends well, after %s", door, got)
		}
	}
}
