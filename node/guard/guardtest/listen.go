package guardtest

import (
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
)

// Listener takes TCP connections and UDP packets on one port, and remembers
// them.
type Listener struct {
	Port uint16

	mu      sync.Mutex
	seen    []netip.Addr
	packets int
	conns   []net.Conn
}

// Listen listens on a port of an address such as "127.0.0.1", "::1" or "" for
// all that there are. Whoever connects is given nothing, and is let go when the
// test ends.
func Listen(t testing.TB, host string) *Listener {
	t.Helper()
	packets, conns, err := listenBoth(host)
	// A port that is free for UDP may be taken for TCP.
	for range 20 {
		if err == nil {
			break
		}
		packets, conns, err = listenBoth(host)
	}
	if err != nil {
		t.Fatalf("listen on %q: %v", host, err)
	}
	l := &Listener{Port: uint16(packets.LocalAddr().(*net.UDPAddr).Port)}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		packets.Close()
		conns.Close()
		wg.Wait()
		for _, c := range l.conns {
			c.Close()
		}
	})
	wg.Go(func() {
		for {
			c, err := conns.Accept()
			if err != nil {
				return // closed
			}
			to, _ := netip.AddrFromSlice(c.LocalAddr().(*net.TCPAddr).IP)
			l.mu.Lock()
			l.seen = append(l.seen, to.Unmap())
			l.conns = append(l.conns, c)
			l.mu.Unlock()
		}
	})
	wg.Go(func() {
		var buf [1]byte
		for {
			if _, _, err := packets.ReadFrom(buf[:]); err != nil {
				return // closed
			}
			l.mu.Lock()
			l.packets++
			l.mu.Unlock()
		}
	})
	return l
}

func listenBoth(host string) (packets net.PacketConn, conns net.Listener, err error) {
	if packets, err = net.ListenPacket("udp", net.JoinHostPort(host, "0")); err != nil {
		return nil, nil, err
	}
	port := packets.LocalAddr().(*net.UDPAddr).Port
	if conns, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))); err != nil {
		packets.Close()
		return nil, nil, err
	}
	return packets, conns, nil
}

// Seen lists the addresses that were connected to so far, IPv4 as such.
func (l *Listener) Seen() []netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]netip.Addr(nil), l.seen...)
}

// Packets is how many UDP packets came so far.
func (l *Listener) Packets() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.packets
}
