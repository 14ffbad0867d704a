package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-msgio"
)

// pipeStream is one end of a pipe as a stream of a peer.
type pipeStream struct {
	network.Stream
	pipe net.Conn
	from pipeConn
}

type pipeConn struct {
	network.Conn
	peer peer.ID
}

func (c pipeConn) RemotePeer() peer.ID { return c.peer }

func (s pipeStream) Conn() network.Conn                { return s.from }
func (s pipeStream) Read(b []byte) (int, error)        { return s.pipe.Read(b) }
func (s pipeStream) SetReadDeadline(t time.Time) error { return s.pipe.SetReadDeadline(t) }
func (s pipeStream) Reset() error                      { return s.pipe.Close() }

// talk makes a stream from a peer, which is read as boxo does, and gives where to
// write, and what comes of each message and at last of the stream.
func talk(t *testing.T, r *reads, from peer.ID, handle func([]byte)) (w net.Conn, ended <-chan error) {
	w, in := net.Pipe()
	end := make(chan error, 1)
	s := r.open(pipeStream{pipe: in, from: pipeConn{peer: from}})
	go func() {
		defer s.close()
		reader := msgio.NewVarintReaderSize(s, network.MessageSizeMax)
		for {
			m, err := reader.ReadMsg()
			if err != nil {
				end <- err
				in.Close()
				return
			}
			handle(m)
			reader.ReleaseMsg(m)
		}
	}()
	t.Cleanup(func() { w.Close() })
	return w, end
}

func framed(n int) []byte {
	return append(binary.AppendUvarint(nil, uint64(n)), bytes.Repeat([]byte{7}, n)...)
}

// Messages of all sizes come through whole, and leave no room taken.
func TestReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReads(Limits{Memory: 1}.withDefaults())
		got := make(chan int, 1)
		w, ended := talk(t, r, "a", func(m []byte) {
			if bytes.Count(m, []byte{7}) != len(m) {
				t.Error("a message is not what was sent")
			}
			got <- len(m)
		})
		for _, n := range []int{0, 1, 127, 128, readFree, readFree + 1, 1 << 20, network.MessageSizeMax, 5} {
			go w.Write(framed(n))
			if g := <-got; g != n {
				t.Errorf("a message of %d bytes came as one of %d", n, g)
			}
			time.Sleep(24 * time.Hour) // between messages there may be any time
		}
		w.Close()
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
		synctest.Wait()
		if len(r.peers) != 0 || !r.all.TryAcquire(readLeast) {
			t.Error("room is still taken")
		}
	})
}

// What is too long is refused, and needs no room.
func TestReadsRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReads(Limits{Memory: 1}.withDefaults())
		var told []uint64
		r.tooLarge = func(from peer.ID, bytes uint64) cid.Cid { told = append(told, bytes); return cid.Undef }
		defer func() {
			if !slices.Equal(told, []uint64{network.MessageSizeMax + 1}) { // the others are no lengths
				t.Errorf("told of %d", told)
			}
		}()
		for _, head := range [][]byte{
			binary.AppendUvarint(nil, network.MessageSizeMax+1),
			binary.AppendUvarint(nil, 1<<63),
			bytes.Repeat([]byte{0xff}, 12),
		} {
			w, ended := talk(t, r, "a", func([]byte) { t.Error("it was taken") })
			go w.Write(head)
			if err := <-ended; err == nil || errors.Is(err, io.EOF) {
				t.Errorf("%x: %v", head, err)
			}
		}
	})
}

// A message that does not go on is given up, and one that has no room waits as long at
// most; a slow one goes on.
func TestReadsStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReads(Limits{Memory: 1}.withDefaults())
		ignore := func([]byte) {}
		full := binary.AppendUvarint(nil, network.MessageSizeMax)
		stall := func(from peer.ID, sent []byte) <-chan error {
			w, ended := talk(t, r, from, ignore)
			go w.Write(sent)
			synctest.Wait()
			return ended
		}
		began := time.Now()
		silent := []<-chan error{stall("a", full), stall("a", append(full, make([]byte, 2*readPiece)...)), stall("a", []byte{0x80})}
		waits := stall("a", full)
		for i, ended := range silent {
			if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("silent stream %d ended with %v", i, err)
			}
		}
		if took := time.Since(began); took != readStall {
			t.Errorf("it took %v", took)
		}
		if err := <-waits; err == nil {
			t.Error("a message without room was taken")
		}

		got := make(chan int, 1)
		w, _ := talk(t, r, "a", func(m []byte) { got <- len(m) })
		go func() {
			for all := framed(10 * readPiece); len(all) > 0; time.Sleep(readStall - time.Second) {
				n, _ := w.Write(all[:min(readPiece, len(all))])
				all = all[n:]
			}
		}()
		if n := <-got; n != 10*readPiece {
			t.Errorf("%d bytes of a slow message came", n)
		}
		time.Sleep(readStall) // for who wrote it
	})
}

// One peer that fills its room leaves that of others.
func TestReadsAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReads(Limits{Memory: 1}.withDefaults())
		for range 20 {
			w, _ := talk(t, r, "greedy", func([]byte) {})
			go w.Write(binary.AppendUvarint(nil, network.MessageSizeMax))
		}
		synctest.Wait()
		got := make(chan int, 1)
		w, _ := talk(t, r, "other", func(m []byte) { got <- len(m) })
		began := time.Now()
		go w.Write(framed(1 << 20))
		if <-got; time.Since(began) > 0 {
			t.Errorf("another peer waited for %v", time.Since(began))
		}
	})
}

// When there are too many streams, the peer with the most loses the one that is silent for longest.
// Without a silent one it loses another.
func TestReadsOfManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReads(Limits{Memory: 1}.withDefaults())
		ignore := func([]byte) {}
		ends := func(ended <-chan error) bool {
			synctest.Wait()
			select {
			case <-ended:
				return true
			default:
				return false
			}
		}
		_, few := talk(t, r, "few", ignore)
		var many []<-chan error
		begun, first := talk(t, r, "many", ignore)
		many = append(many, first)
		go begun.Write(framed(8)[:4])
		for len(many) < r.most-1 {
			time.Sleep(time.Millisecond)
			_, ended := talk(t, r, "many", ignore)
			many = append(many, ended)
		}
		if ends(few) || ends(many[0]) || ends(many[1]) {
			t.Fatal("a stream ended though there is room")
		}
		_, another := talk(t, r, "few", ignore)
		if !ends(many[1]) {
			t.Error("the stream that was silent for longest stays")
		}
		for i, ended := range []<-chan error{few, another, many[0], many[2]} {
			if ends(ended) {
				t.Errorf("stream %d ended", i)
			}
		}
		if r.streams != r.most {
			t.Errorf("%d streams count", r.streams)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newReads(Limits{Memory: 1}.withDefaults())
		var all []<-chan error
		for range r.most + 1 {
			w, ended := talk(t, r, "busy", func([]byte) {})
			go w.Write(framed(8)[:4])
			synctest.Wait()
			all = append(all, ended)
		}
		over := 0
		for _, ended := range all {
			select {
			case <-ended:
				over++
			default:
			}
		}
		if over != 1 || r.streams != r.most {
			t.Errorf("%d streams ended, and %d count", over, r.streams)
		}
	})
}

// Peers that begin large messages and send them slowly do not keep others' messages from coming. A slow
// one goes on while nobody waits for its room.
func TestReadsOfSlowPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReads(Limits{Memory: 1}.withDefaults())
		message := framed(network.MessageSizeMax)
		var slow []<-chan error
		var writing sync.WaitGroup
		defer writing.Wait()
		for i := range 2 * readLeast / readPerPeer {
			w, ended := talk(t, r, peer.ID(fmt.Sprint("slow", i/2)), func([]byte) {})
			defer w.Close()
			slow = append(slow, ended)
			writing.Go(func() {
				for n := 0; n < len(message); n += readPiece {
					if _, err := w.Write(message[n:min(n+readPiece, len(message))]); err != nil {
						return
					}
					time.Sleep(readStall / 2)
				}
			})
		}
		time.Sleep(time.Minute)
		for _, ended := range slow {
			select {
			case err := <-ended:
				t.Fatalf("a slow stream ended with %v though nobody waits", err)
			default:
			}
		}
		got := make(chan int, 1)
		w, _ := talk(t, r, "other", func(m []byte) { got <- len(m) })
		go w.Write(framed(1 << 20))
		began := time.Now()
		select {
		case <-got:
		case <-time.After(readStall):
		}
		if took := time.Since(began); took > 2*readSlowCheck {
			t.Errorf("a message of another peer took %v", took)
		}
		over := 0
		for _, ended := range slow {
			select {
			case <-ended:
				over++
			default:
			}
		}
		if over != 1 {
			t.Errorf("%d slow streams ended to make room for a MiB, want 1", over)
		}
	})
}

// Messages that come quickly have their time, however many wait.
func TestReadsOfManyQuickPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReads(Limits{Memory: 1}.withDefaults())
		message := framed(network.MessageSizeMax)
		const peers = 40
		got := make(chan int, peers)
		var writing sync.WaitGroup
		defer writing.Wait()
		for i := range peers {
			w, ended := talk(t, r, peer.ID(fmt.Sprint(i)), func(m []byte) { got <- len(m) })
			writing.Go(func() {
				for n := 0; n < len(message); n += readPiece {
					if _, err := w.Write(message[n:min(n+readPiece, len(message))]); err != nil {
						t.Errorf("message %d: %v, %v", i, err, <-ended)
						return
					}
					time.Sleep(40 * time.Millisecond) // 1.6 MiB a second
				}
			})
		}
		for range peers {
			<-got
		}
	})
}
