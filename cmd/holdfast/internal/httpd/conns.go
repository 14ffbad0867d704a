package httpd

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/client"
)

// Bounds of a connection beside those of [NewServer].
const (
	// writePiece must be taken by a client within writeStall: 2 KiB a second,
	// slower than any modem. So a long list takes the time that it takes, and a
	// client that stopped reading is cut off.
	writePiece = 64 << 10
	writeStall = 30 * time.Second
	// roomOnce is which part of the connections is closed to make room, so that
	// in a flood room is not made for each of them alone.
	roomOnce = 32
	// bodyGrace is how long a request's body may take before its connection can
	// be closed to make room: what an honest client sends is there by then.
	bodyGrace = time.Second
)

// ConnLimit bounds how many connections a server has, so that file descriptors
// and memory are left for its work. When there is no room, connections that
// wait for nothing but their client are closed to make some: for a request, or
// for the rest of one's body. One that is being answered never is. It takes
// from the addresses that have the most, idle ones first, and what was idle the
// longest: a flood from one place pushes out itself.
type ConnLimit struct {
	most    int
	proxies []*net.IPNet // their connections are many clients'
	log     *slog.Logger

	mu     sync.Mutex
	room   sync.Cond // there may be some
	conns  map[*limitedConn]struct{}
	closed bool
	full   bool // that some were closed to make room has been said
	waits  bool // that none could be closed has been said
}

func NewConnLimit(most int, proxies []*net.IPNet, log *slog.Logger) *ConnLimit {
	l := &ConnLimit{most: most, proxies: proxies, log: log, conns: map[*limitedConn]struct{}{}}
	l.room.L = &l.mu
	return l
}

// limitedConn is one of a ConnLimit's.
type limitedConn struct {
	net.Conn
	limit *ConnLimit
	from  string // what counts as one client

	// Guarded by the limit's mu.
	serving int       // requests that are being answered; HTTP/2 has many at once
	since   time.Time // since when none is
	reading int       // of those that are served, which wait for their body
	body    time.Time // since when the first of these waits

	writing  sync.Mutex
	deadline time.Time // for what is written, as the server set it
}

// Listen gives a listener whose connections count.
func (l *ConnLimit) Listen(inner net.Listener) net.Listener {
	return &limitedListener{Listener: inner, limit: l}
}

type limitedListener struct {
	net.Listener
	limit *ConnLimit
}

// Accept waits for a connection, and then for room.
func (l *limitedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &limitedConn{Conn: conn, limit: l.limit, from: l.limit.client(conn.RemoteAddr()), since: time.Now()}
	if !l.limit.admit(c) {
		conn.Close() // there is nobody to tell of an error
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *limitedListener) Close() error {
	l.limit.mu.Lock()
	l.limit.closed = true
	l.limit.room.Broadcast()
	l.limit.mu.Unlock()
	return l.Listener.Close()
}

// client is what counts as one. Each connection of a trusted proxy is one.
func (l *ConnLimit) client(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || slices.ContainsFunc(l.proxies, func(n *net.IPNet) bool { return n.Contains(tcp.IP) }) {
		return a.String()
	}
	ip, ok := netip.AddrFromSlice(tcp.IP)
	if !ok {
		return a.String()
	}
	return client.Network(ip)
}

// Open is how many connections there are.
func (l *ConnLimit) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// admit takes one more connection when there is room, and makes some if it can.
// It gives false when the listener is closed.
func (l *ConnLimit) admit(c *limitedConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.conns) >= l.most && !l.closed {
		victims := l.victims(max(1, l.most/roomOnce), time.Now())
		for _, v := range victims {
			delete(l.conns, v)
			v.Conn.Close() // it is cut off: there is nobody to tell of an error
		}
		if len(victims) > 0 {
			if !l.full {
				l.full = true
				l.log.Warn("as many HTTP connections as may be: those that wait for their client are closed to make room", "most", l.most)
			}
			continue
		}
		if !l.waits {
			l.waits = true
			l.log.Warn("as many HTTP connections as may be, and all are being answered: new ones wait", "most", l.most)
		}
		grace := time.AfterFunc(bodyGrace, l.room.Broadcast) // there may be victims then
		l.room.Wait()
		grace.Stop()
	}
	if len(l.conns) < l.most/2 {
		l.full, l.waits = false, false
	}
	l.conns[c] = struct{}{}
	return !l.closed
}

// victims are at most n connections to close, with mu held.
func (l *ConnLimit) victims(n int, now time.Time) []*limitedConn {
	each := map[string][]*limitedConn{}
	for c := range l.conns {
		if c.serving == 0 || c.reading == c.serving && now.Sub(c.body) >= bodyGrace {
			each[c.from] = append(each[c.from], c)
		}
	}
	// A connection ranks by how many of the same client are younger, or in the
	// middle of a request when it is idle.
	type ranked struct {
		*limitedConn
		rank int
	}
	var all []ranked
	for _, crowd := range each {
		slices.SortFunc(crowd, func(a, b *limitedConn) int {
			return cmp.Or(cmp.Compare(b.reading, a.reading), b.since.Compare(a.since))
		})
		for i, c := range crowd {
			all = append(all, ranked{c, i})
		}
	}
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(a.reading, b.reading), a.since.Compare(b.since))
	})
	var victims []*limitedConn
	for _, c := range all[:min(n, len(all))] {
		victims = append(victims, c.limitedConn)
	}
	return victims
}

// Close lets the next one in.
func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.limit.mu.Lock()
	defer c.limit.mu.Unlock()
	delete(c.limit.conns, c)
	c.limit.room.Signal()
	return err
}

func (c *limitedConn) SetDeadline(t time.Time) error {
	if err := c.Conn.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

func (c *limitedConn) SetWriteDeadline(t time.Time) error {
	c.writing.Lock()
	c.deadline = t
	c.writing.Unlock()
	return c.Conn.SetWriteDeadline(t)
}

// Write cuts off a client that takes nothing for writeStall.
func (c *limitedConn) Write(b []byte) (n int, err error) {
	for {
		piece := b[n:min(len(b), n+writePiece)]
		c.writing.Lock()
		until := time.Now().Add(writeStall)
		if !c.deadline.IsZero() && c.deadline.Before(until) {
			until = c.deadline
		}
		err := c.Conn.SetWriteDeadline(until)
		c.writing.Unlock()
		if err != nil {
			return n, err
		}
		m, err := c.Conn.Write(piece)
		if n += m; err != nil || n == len(b) {
			return n, err
		}
	}
}

type connKey struct{}

// Context fits http.Server.ConnContext.
func (l *ConnLimit) Context(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return context.WithValue(ctx, connKey{}, conn)
}

// Count tells the limit which connections are being answered.
func (l *ConnLimit) Count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(connKey{}).(*limitedConn)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		c.serve(1)
		defer c.serve(-1)
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &countedBody{ReadCloser: r.Body, conn: c}
		}
		next.ServeHTTP(w, r)
	})
}

// countedBody is a request's. It tells the limit while its client is waited for.
type countedBody struct {
	io.ReadCloser
	conn  *limitedConn
	began time.Time // when it was first read
}

func (b *countedBody) Read(p []byte) (int, error) {
	if b.began.IsZero() {
		b.began = time.Now()
	}
	b.conn.read(1, b.began)
	defer b.conn.read(-1, b.began)
	return b.ReadCloser.Read(p)
}

func (c *limitedConn) read(n int, began time.Time) {
	c.limit.mu.Lock()
	defer c.limit.mu.Unlock()
	if c.reading == 0 {
		c.body = began // so a body that comes byte by byte waits since its first
	}
	c.reading += n
}

func (c *limitedConn) serve(n int) {
	c.limit.mu.Lock()
	defer c.limit.mu.Unlock()
	if c.serving += n; c.serving == 0 {
		c.since = time.Now()
		if len(c.limit.conns) >= c.limit.most {
			c.limit.room.Signal() // it can be closed now
		}
	}
}

// MaxConns is how many HTTP connections there may be: what is configured, or
// half of the file descriptors that the process may have, if that is less. The
// other half is for peers and the database. (At its start a Go program takes
// as many as the hard limit allows.)
func MaxConns(configured int, files uint64, log *slog.Logger) int {
	if half := files / 2; uint64(configured) > half {
		log.Warn("fewer HTTP connections than configured: the process may open too few files",
			"http.max_connections", configured, "connections", half, "open_files", files)
		return max(1, int(half))
	}
	return configured
}
