package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/transport/tcpreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// wsHandshake is how long a WebSocket may take to open, in either direction: as
	// libp2p has it.
	wsHandshake = 15 * time.Second
	// wsFirstBytes is how much a server may send before the WebSocket is open: a chain of
	// certificates takes a few KiB, and headers a few hundred bytes.
	wsFirstBytes = 64 << 10
	// wsHeaderBytes is how long the headers of a request to open one may be: a browser
	// sends a few hundred bytes, and cookies of other servers at the same name.
	wsHeaderBytes = 16 << 10
	// wsGoodbye is how long the end of a WebSocket may take to be told.
	wsGoodbye = 100 * time.Millisecond
)

// webSocket is libp2p's WebSocket transport, which listens, with dials of its own. They use
// no proxy, so that the guard sees each address that a socket connects to, and bound what a
// server may send before the WebSocket is open.
type webSocket struct {
	*websocket.WebsocketTransport
	upgrader  transport.Upgrader
	resources network.ResourceManager
	gater     *gater
	roots     *x509.CertPool // nil are the system's
}

// newWebSocket gives a constructor of the transport for [libp2p.Transport].
func newWebSocket(cfg Config, g *gater) func(transport.Upgrader, network.ResourceManager, *tcpreuse.ConnMgr) (*webSocket, error) {
	options := []websocket.Option{
		websocket.WithHandshakeTimeout(wsHandshake),
		// With a handler, the server's limits can be set.
		websocket.WithHTTPHandler(http.HandlerFunc(notWebSocket)),
		websocket.WithHTTPServerConfig(func(s *http.Server) {
			s.MaxHeaderBytes = wsHeaderBytes
			s.ReadTimeout, s.WriteTimeout = wsHandshake, wsHandshake // not of WebSockets
			s.Protocols = new(http.Protocols)
			s.Protocols.SetHTTP1(true) // the only one that WebSockets are opened by here
		}),
	}
	if cfg.Certificate != nil {
		options = append(options, websocket.WithTLSConfig(&tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: cfg.Certificate, NextProtos: []string{"http/1.1"},
		}))
	}
	return func(u transport.Upgrader, r network.ResourceManager, shared *tcpreuse.ConnMgr) (*webSocket, error) {
		t, err := websocket.New(u, r, shared, options...)
		return &webSocket{
			WebsocketTransport: t, upgrader: u, resources: r, gater: g, roots: cfg.roots,
		}, err
	}
}

// notWebSocket answers what comes to a WebSocket address and wants to open none.
func notWebSocket(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Connection", "close")
	http.Error(w, "This is an address of an IPFS node, for WebSockets of libp2p.", http.StatusUpgradeRequired)
}

// Dial implements [transport.Transport].
func (t *webSocket) Dial(ctx context.Context, addr ma.Multiaddr, p peer.ID) (transport.CapableConn, error) {
	scope, err := t.resources.OpenConnection(network.DirOutbound, true, addr)
	if err != nil {
		return nil, err
	}
	c, err := t.dial(ctx, addr, p, scope)
	if err != nil {
		scope.Done()
		return nil, err
	}
	return wsCapable{c}, nil
}

func (t *webSocket) dial(ctx context.Context, addr ma.Multiaddr, p peer.ID, scope network.ConnManagementScope) (transport.CapableConn, error) {
	if err := scope.SetPeer(p); err != nil {
		return nil, err
	}
	to, err := wsTargetOf(addr)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	if !t.gater.grants.Has(p, addr) { // which holds for an IP address alone
		dialer.ControlContext = t.gater.guard.Control
	}
	var first *firstBytes
	d := ws.Dialer{
		HandshakeTimeout: wsHandshake,
		TLSClientConfig:  &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: t.roots},
		// What the URL has is only what the server is called.
		NetDialContext: func(dialCtx context.Context, _, _ string) (net.Conn, error) {
			c, err := dialer.DialContext(dialCtx, to.network, to.address)
			if err != nil {
				return nil, err
			}
			first = &firstBytes{Conn: c, left: wsFirstBytes, forget: context.AfterFunc(ctx, func() { c.Close() })}
			return first, nil
		},
	}
	raw, answer, err := d.DialContext(ctx, to.url, nil)
	if first != nil && !first.forget() {
		err = context.Cause(ctx)
	}
	if errors.Is(err, ws.ErrBadHandshake) {
		err = fmt.Errorf("the server answers %s: %w", answer.Status, err)
	}
	if err != nil {
		if raw != nil {
			raw.Close()
		}
		return nil, fmt.Errorf("open a WebSocket: %w", err)
	}
	first.open = true
	conn, err := manet.WrapNetConn(wsConn{&websocket.Conn{Conn: raw, DefaultMessageType: ws.BinaryMessage}, to.secure})
	if err != nil {
		raw.Close()
		return nil, err
	}
	return t.upgrader.Upgrade(ctx, t, conn, network.DirOutbound, p, scope)
}

// wsTarget is where a WebSocket is opened.
type wsTarget struct {
	network, address string // for net.Dial
	url              string // with the name that the server goes by
	secure           bool
}

func wsTargetOf(addr ma.Multiaddr) (to wsTarget, err error) {
	end := 0
	name := ""
	for i, c := range addr {
		switch c.Protocol().Code {
		case ma.P_TCP:
			if end == 0 {
				end = i + 1
			}
		case ma.P_TLS, ma.P_WSS:
			to.secure = true
		case ma.P_SNI:
			name = c.Value()
		}
	}
	if to.network, to.address, err = manet.DialArgs(addr[:end]); err != nil {
		return to, err
	}
	host, port, err := net.SplitHostPort(to.address)
	if err != nil {
		return to, err
	}
	if name == "" {
		name = host
	}
	u := url.URL{Scheme: "ws", Host: net.JoinHostPort(name, port), Path: "/"}
	if to.secure {
		u.Scheme = "wss"
	}
	to.url = u.String()
	return to, nil
}

// firstBytes is a connection that bounds what is read from it until it is open. Nobody
// reads from it while that is set.
type firstBytes struct {
	net.Conn
	left   int
	open   bool
	forget func() bool // leaves it open when the context of the dial ends
}

func (c *firstBytes) Read(b []byte) (int, error) {
	if c.open {
		return c.Conn.Read(b)
	}
	if c.left <= 0 {
		return 0, fmt.Errorf("the server sends more than %d bytes before the WebSocket is open", wsFirstBytes)
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// wsConn is a WebSocket that was dialled, as libp2p reads and writes one.
type wsConn struct {
	*websocket.Conn
	secure bool
}

func (c wsConn) LocalAddr() net.Addr {
	return websocket.NewAddrWithScheme(c.Conn.Conn.LocalAddr().String(), c.secure)
}

func (c wsConn) RemoteAddr() net.Addr {
	return websocket.NewAddrWithScheme(c.Conn.Conn.RemoteAddr().String(), c.secure)
}

// Close closes the connection, whoever reads or writes.
func (c wsConn) Close() error {
	text := ws.FormatCloseMessage(ws.CloseNormalClosure, "closed")
	_ = c.Conn.Conn.WriteControl(ws.CloseMessage, text, time.Now().Add(wsGoodbye)) // the other side may be gone
	return c.Conn.Conn.Close()
}

// wsCapable is a connection that says what it goes by.
type wsCapable struct{ transport.CapableConn }

func (c wsCapable) ConnState() network.ConnectionState {
	s := c.CapableConn.ConnState()
	s.Transport = "websocket"
	return s
}

// sharesPorts reports whether several of the addresses are of one TCP port, so that what
// comes to it has to be looked at to find out what it is.
func sharesPorts(listen []ma.Multiaddr) bool {
	seen := make(map[string]bool)
	for _, a := range listen {
		for i, c := range a {
			if c.Protocol().Code != ma.P_TCP {
				continue
			}
			port := a[:i+1].String()
			if seen[port] {
				return true
			}
			seen[port] = true
		}
	}
	return false
}
