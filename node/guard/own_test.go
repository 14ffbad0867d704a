package guard

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	manet "github.com/multiformats/go-multiaddr/net"
)

func TestOwnAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var addrs []net.Addr
		var fails error
		has := func(list ...string) {
			addrs = nil
			for _, s := range list {
				ip, ipnet, err := net.ParseCIDR(s)
				if err != nil {
					t.Fatal(err)
				}
				ipnet.IP = ip
				addrs = append(addrs, ipnet)
			}
		}
		g := Guard{Own: &Own{list: func() ([]net.Addr, error) { return addrs, fails }}}
		expect := func(what string, refused, passes []string) {
			t.Helper()
			for _, s := range refused {
				err := g.Addr(netip.MustParseAddr(s))
				if r, ok := errors.AsType[*RefusedError](err); !ok || r.Why != "an address of this machine" {
					t.Errorf("%s: %s: %v", what, s, err)
				}
				a, err := manet.FromIP(net.ParseIP(s))
				if err != nil {
					t.Fatal(err)
				}
				if g.Hint(a) == nil || g.Dial(a) == nil {
					t.Errorf("%s: %s is dialled", what, a)
				}
				if err := (Guard{AllowPrivate: true, Own: g.Own}).Addr(netip.MustParseAddr(s)); err != nil {
					t.Errorf("%s, with private addresses allowed: %s: %v", what, s, err)
				}
				if !Public(netip.MustParseAddr(s)) {
					t.Errorf("%s: %s is not public any more", what, s)
				}
			}
			for _, s := range passes {
				if err := g.Addr(netip.MustParseAddr(s)); err != nil {
					t.Errorf("%s: %s: %v", what, s, err)
				}
			}
		}
		has("127.0.0.1/8", "8.8.4.4/24", "2a00:1450::1/64")
		expect("at first", []string{"8.8.4.4", "::ffff:8.8.4.4", "2a00:1450::1"}, []string{"8.8.4.5", "2a00:1450::2"})
		has("127.0.0.1/8", "8.8.4.5/24")
		expect("a moment later", []string{"8.8.4.4"}, []string{"8.8.4.5"})
		time.Sleep(ownAge + 1)
		expect("later", []string{"8.8.4.5"}, []string{"8.8.4.4", "2a00:1450::1"})
		fails = errors.New("no netlink")
		time.Sleep(ownAge + 1)
		expect("when they cannot be read", []string{"8.8.4.5"}, []string{"8.8.4.4"})
	})
	if !Interfaces().has(netip.MustParseAddr("127.0.0.1")) {
		t.Error("127.0.0.1 is not known for an address of this machine")
	}
}
