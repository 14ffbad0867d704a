package httpd

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/client"
)

// Limits of a connection, beside those of [NewServer].
const (
	// A client must take writePiece within writeStall: 2 KiB a second, slower than any modem.
	// So a long list may take its time, but a client that stopped reading is cut off.
	writePiece = 64 << 10
	writeStall = 30 * time.Second
	// When there is no room, 1/roomOnce of the connections is closed at once. In a flood this
	// is cheaper than making room for each new connection alone.
	roomOnce = 32
	// bodyGrace is how long a request's body may take before its connection may be closed to
	// make room: an honest client has sent it by then.
	bodyGrace = time.Second
)

// ConnLimit limits how many connections a server has, so that file descriptors and memory
// are left for its work. When there is no room, it closes connections that wait for their
// client: for a request, or for the rest of a body. It never closes one whose request is
// being answered. First come the clients with the most connections, and of these the idle
// connections, longest idle first. So a flood from one place pushes out itself.
type ConnLimit struct {
	max     int
	proxies []*net.IPNet // each connection of theirs counts as a client of its own
	log     *slog.Logger

	mu     sync.Mutex
	room   sync.Cond // signalled when there may be room
	conns  map[*limitedConn]struct{}
	closed bool
	full   bool // it was logged that connections are closed to make room
	waits  bool // it was logged that none can be closed
}

// NewConnLimit makes a limit of max connections.
func NewConnLimit(max int, proxies []*net.IPNet, log *slog.Logger) *ConnLimit {
	l := &ConnLimit{max: max, proxies: proxies, log: log, conns: map[*limitedConn]struct{}{}}
	l.room.L = &l.mu
	return l
}

// limitedConn is a connection that counts for a ConnLimit.
type limitedConn struct {
	net.Conn
	limit *ConnLimit
	from  string // what counts as one client

	// Guarded by the limit's mu.
	serving int       // requests that are being answered; HTTP/2 has several at once
	since   time.Time // since when there are none
	reading int       // how many of serving wait for their body
	body    time.Time // since when the first of these waits

	writing  sync.Mutex
	deadline time.Time // for writes, as the server set it

	took atomic.Int64 // bytes of the answer that the client took, see [SlowGivesWay]
}

// Listen wraps a listener, so that its connections count.
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

// client names the client of a connection. Each connection of a trusted proxy is a client of
// its own.
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

// Open is the number of open connections.
func (l *ConnLimit) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// admit waits until there is room for one more connection, and makes room if it can. It
// gives false if the listener is closed.
func (l *ConnLimit) admit(c *limitedConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.conns) >= l.max && !l.closed {
		victims := l.victims(max(1, l.max/roomOnce), time.Now())
		for _, v := range victims {
			delete(l.conns, v)
			v.Conn.Close() // it is cut off: there is nobody to tell of an error
		}
		if len(victims) > 0 {
			if !l.full {
				l.full = true
				l.log.Warn("the limit of HTTP connections is reached: connections that wait for their client are closed to make room", "most", l.max)
			}
			continue
		}
		if !l.waits {
			l.waits = true
			l.log.Warn("the limit of HTTP connections is reached, and all have requests that are being answered: new ones wait", "most", l.max)
		}
		grace := time.AfterFunc(bodyGrace, l.room.Broadcast) // then there may be victims
		l.room.Wait()
		grace.Stop()
	}
	if len(l.conns) < l.max/2 {
		l.full, l.waits = false, false
	}
	l.conns[c] = struct{}{}
	return !l.closed
}

// victims gives up to n connections to close. The caller holds mu.
func (l *ConnLimit) victims(n int, now time.Time) []*limitedConn {
	each := map[string][]*limitedConn{}
	for c := range l.conns {
		if c.serving == 0 || c.reading == c.serving && now.Sub(c.body) >= bodyGrace {
			each[c.from] = append(each[c.from], c)
		}
	}
	// The rank of a connection is how many of its client's connections come after it: busy
	// ones come first, then younger ones.
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

// CloseWrite says that nothing more will be sent. Without it a connection that is closed while
// its client sends is reset, and the client may lose what it did not read yet.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection, which makes room for another one.
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

// Write ends with an error if the client takes no piece within writeStall.
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
		c.took.Add(int64(m))
		if n += m; err != nil || n == len(b) {
			return n, err
		}
	}
}

type connKey struct{}

// Context is for http.Server.ConnContext.
func (l *ConnLimit) Context(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return context.WithValue(ctx, connKey{}, conn)
}

// Count makes the limit know which connections have a request that is being answered.
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

// countedBody is the body of a request. While a read waits for the client, the limit knows it.
type countedBody struct {
	io.ReadCloser
	conn  *limitedConn
	began time.Time // when the first read began
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
		c.body = began // so a body that comes byte by byte waits since its first read
	}
	c.reading += n
}

func (c *limitedConn) serve(n int) {
	c.limit.mu.Lock()
	defer c.limit.mu.Unlock()
	if c.serving += n; c.serving == 0 {
		c.since = time.Now()
		if len(c.limit.conns) >= c.limit.max {
			c.limit.room.Signal() // this connection can be closed now
		}
	}
}

// MaxConns is how many HTTP connections there may be: the configured number, but no more than
// half of the files that the process may open. The other half is for peers and the database.
func MaxConns(configured int, files uint64, log *slog.Logger) int {
	if half := files / 2; uint64(configured) > half {
		log.Warn("fewer HTTP connections than configured, since the process may open too few files",
			"http.max_connections", configured, "connections", half, "open_files", files)
		return max(1, int(half))
	}
	return configured
}
