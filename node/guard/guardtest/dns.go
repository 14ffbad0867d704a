package guardtest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Names says what names lead to. Names are in lower case, with no dot at the
// end. Either function may be nil. They are called by one goroutine.
type Names struct {
	Addrs func(name string) []netip.Addr
	Texts func(name string) []string
}

// Addrs is Names in which every name leads where the map says.
func Addrs(m map[string]netip.Addr) Names {
	return Names{Addrs: func(name string) []netip.Addr {
		if ip, ok := m[name]; ok {
			return []netip.Addr{ip}
		}
		return nil
	}}
}

// Resolver gives a resolver that asks a name server of the test's, on loopback.
// Names it does not know do not exist. The server ends with the test.
func Resolver(t testing.TB, names Names) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			} else if err != nil {
				continue // a client that is gone
			}
			answer, err := names.answer(buf[:n])
			if err != nil {
				t.Errorf("answer a DNS query: %v", err)
				continue
			}
			if _, err := conn.WriteTo(answer, from); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Errorf("answer a DNS query: %v", err)
			}
		}
	}()
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp4", conn.LocalAddr().String())
		},
	}
}

func (n Names) answer(query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: h.ID, Response: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	add := func(body dnsmessage.ResourceBody) {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: dnsmessage.ClassINET},
			Body:   body,
		})
	}
	switch {
	case q.Type == dnsmessage.TypeTXT && n.Texts != nil:
		for _, s := range n.Texts(name) {
			add(&dnsmessage.TXTResource{TXT: []string{s}})
		}
	case (q.Type == dnsmessage.TypeA || q.Type == dnsmessage.TypeAAAA) && n.Addrs != nil:
		for _, ip := range n.Addrs(name) {
			switch {
			case q.Type == dnsmessage.TypeA && ip.Is4():
				add(&dnsmessage.AResource{A: ip.As4()})
			case q.Type == dnsmessage.TypeAAAA && ip.Is6():
				add(&dnsmessage.AAAAResource{AAAA: ip.As16()})
			}
		}
	}
	return m.Pack()
}
