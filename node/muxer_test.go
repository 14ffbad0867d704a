package node

import (
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

func TestStreamWindow(t *testing.T) {
	const MiB = 1 << 20
	for name, c := range map[string]struct {
		limits      Limits
		least, most int
	}{
		"a small machine":                   {Limits{Memory: 128 * MiB, Files: 256, ConnHigh: 96}, streamWindowLeast, streamWindowLeast},
		"many peers on little memory":       {Limits{Memory: 2048 * MiB, Files: 5000, ConnHigh: 2000}, streamWindowLeast, streamWindowLeast},
		"a machine of 16 GiB":               {Limits{Memory: 4096 * MiB, Files: 5000, ConnHigh: 192}, 504 << 10, 504 << 10},
		"a large one of 128 GiB":            {Limits{Memory: 64 << 30, Files: 5000, ConnHigh: 2000}, streamWindowMost, streamWindowMost},
		"all memory that can be written of": {Limits{Memory: 1 << 50, Files: 5000, ConnHigh: 1}, streamWindowMost, streamWindowMost},
	} {
		w := c.limits.streamWindow()
		if w < c.least || w > c.most {
			t.Errorf("%s: %d bytes, want %d to %d", name, w, c.least, c.most)
		}
		peer := c.limits.resourceLimits().ToPartialLimitConfig().PeerDefault
		if all := int64(w) * int64(peer.StreamsInbound); w > streamWindowLeast && all > int64(peer.Memory) {
			t.Errorf("%s: the streams of a peer reserve %d bytes, and it has %d", name, all, peer.Memory)
		}
	}
}

// muxedHosts are two, connected, of which the second has the muxer and limits.
func muxedHosts(t *testing.T, m *muxer, l Limits) (from, to host.Host) {
	t.Helper()
	managers, err := l.managers(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, options := range [][]libp2p.Option{{libp2p.ResourceManager(&network.NullResourceManager{})}, append(managers, m.option())} {
		h, err := libp2p.New(append(options, libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
		from, to = to, h
	}
	if err := from.Connect(t.Context(), peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()}); err != nil {
		t.Fatal(err)
	}
	return from, to
}

const windowProtocol = protocol.ID("/holdfast/test/window")

// A peer may send as much as the window on a stream that nobody reads, and no more; and
// for all of that it has memory reserved, which it gives back.
func TestStreamWindowIsReserved(t *testing.T) {
	const streams = 8
	l := Limits{}.withDefaults()
	for _, window := range []int{streamWindowLeast, 600_000, streamWindowMost} {
		from, to := muxedHosts(t, newMuxer(window), l)
		release := make(chan struct{})
		arrived := make(chan struct{}, streams)
		to.SetStreamHandler(windowProtocol, func(s network.Stream) {
			arrived <- struct{}{}
			<-release
			_ = s.Reset()
		})
		reserved := func() (n int64) {
			err := to.Network().ResourceManager().ViewPeer(from.ID(), func(s network.PeerScope) error {
				n = s.Stat().Memory
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		until := func(what string, ok func() bool) {
			for range 1000 {
				if ok() {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Fatalf("window %d: %s; %d bytes are reserved", window, what, reserved())
		}
		// Upkeep, such as identify, opens streams of its own, and closes them.
		until("a connection with no streams has memory", func() bool { return reserved() == 0 })
		var opened []network.Stream
		for range streams {
			s, err := from.NewStream(t.Context(), to.ID(), windowProtocol)
			if err != nil {
				t.Fatal(err)
			}
			opened = append(opened, s)
			// What the protocol is agreed on by takes a little of the window.
			if err := s.SetWriteDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write(make([]byte, window-1024)); err != nil {
				t.Errorf("window %d: it is narrower: %v", window, err)
			}
			<-arrived
			if err := s.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write(make([]byte, 2048)); err == nil {
				t.Errorf("window %d: it is wider", window)
			}
		}
		until("not all windows are reserved", func() bool { return reserved() == int64(streams*window) })
		close(release)
		until("memory is kept", func() bool { return reserved() == 0 })
		for _, s := range opened {
			_, err := io.Copy(io.Discard, s)
			if err == nil {
				t.Error("a stream that was reset ended well")
			}
		}
	}
}

// A window that has no room is not given: yamux ends the connection. Nothing of it stays
// reserved then, wherever the memory ends: before what a window has more than the least
// one, within it, or after it.
func TestStreamWindowWithoutRoom(t *testing.T) {
	const windows = 60
	for _, left := range []int{1000, streamWindowLeast + 1000, streamWindowMost - 1000} {
		l := Limits{}.withDefaults()
		from, to := muxedHosts(t, newMuxer(streamWindowMost), l)
		// Others have taken the rest of what the peer may have.
		rest := int(l.resourceLimits().ToPartialLimitConfig().PeerDefault.Memory) - windows*streamWindowMost - left
		var others network.ResourceScopeSpan
		err := to.Network().ResourceManager().ViewPeer(from.ID(), func(s network.PeerScope) (err error) {
			if others, err = s.BeginSpan(); err != nil {
				return err
			}
			return others.ReserveMemory(rest, network.ReservationPriorityAlways)
		})
		if err != nil {
			t.Fatal(err)
		}
		defer others.Done()
		none := func(when string) {
			var reserved int
			for range 1000 {
				err := to.Network().ResourceManager().ViewSystem(func(s network.ResourceScope) error {
					reserved = int(s.Stat().Memory) - rest
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if reserved == 0 {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Fatalf("%d bytes left: %s %d are reserved", left, when, reserved)
		}
		arrived := make(chan struct{})
		to.SetStreamHandler(windowProtocol, func(s network.Stream) {
			arrived <- struct{}{}
			_, _ = io.Copy(io.Discard, s)
		})
		none("before anything is sent")
		open := func() {
			s, err := from.NewStream(network.WithNoDial(t.Context(), "it is to be this connection"), to.ID(), windowProtocol)
			if err == nil {
				_, err = s.Write([]byte("x"))
			}
			if err != nil {
				t.Error(err)
			}
		}
		for range windows {
			open()
			<-arrived
		}
		open() // that there is no room is seen by the connection
		for range 1000 {
			if from.Network().Connectedness(to.ID()) != network.Connected {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if from.Network().Connectedness(to.ID()) == network.Connected {
			t.Errorf("%d bytes left: a window was given for which there is no room", left)
		}
		none("after the end of the connection")
	}
}
