//go:build cluster

package cluster

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
)

// door is an address of a node's RPC that stays when the node behind it is another.
type door struct {
	behind atomic.Pointer[peers.Node]
	note   func(*http.Request) // of each call; nil is nothing
}

func newDoor(t *testing.T, port int, first *peers.Node) *door {
	t.Helper()
	d := new(door)
	d.to(first)
	l := must(new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port)))(t)
	s := &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(must(url.Parse(d.behind.Load().Base()))(t)) },
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if d.note != nil {
				d.note(r)
			}
			return d.behind.Load().RoundTrip(r)
		}),
		FlushInterval: -1, // at once
	}}
	go func() { _ = s.Serve(l) }() // it ends with the test
	t.Cleanup(func() { s.Close() })
	return d
}

func (d *door) to(n *peers.Node) { d.behind.Store(n) }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// trap is an address on loopback that counts who connects.
type trap struct {
	multiaddr string
	n         atomic.Int64
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	l := must(new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
	tr := &trap{multiaddr: fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tr.n.Add(1)
			c.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return tr
}

func (t *trap) dials() int { return int(t.n.Load()) }

// peerID makes a peer ID of a key that nobody has: the SHA2-256 of a number.
func peerID(i int) string {
	sum := sha256.Sum256(fmt.Append(nil, i))
	return base58(append([]byte{0x12, 0x20}, sum[:]...))
}

func base58(b []byte) (s string) {
	const digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	n, radix, digit := new(big.Int).SetBytes(b), big.NewInt(58), new(big.Int)
	for n.Sign() > 0 {
		n.DivMod(n, radix, digit)
		s = digits[digit.Int64():digit.Int64()+1] + s
	}
	return s
}
