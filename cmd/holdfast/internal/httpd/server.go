package httpd

import (
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
)

// Limits of one HTTP request. Bodies have up to 1 MiB, and answers come from memory or an
// index. So what takes longer is the fault of the client.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	// Enough for the longest answer, 1,000 pins with 16 KiB of meta each, at 30 KB/s. A client
	// that takes nothing is cut off earlier, after writeStall.
	writeTimeout = 10 * time.Minute
	idleTimeout  = 2 * time.Minute // longer than clients wait between polls
	// Enough for a query with 16 KiB of meta, every byte escaped, and ten CIDs.
	maxHeaderBytes = 128 << 10
	// Of an HTTP/2 connection. What a client sends and nobody reads yet, such as an upload that waits for
	// its turn, takes up to streamBuffer of memory, and a rate of 5 MB/s at 100 ms needs as much. The
	// connection has room for that of all its streams: else one that waits would keep the others from
	// coming. So many are enough for the pages of a browser.
	maxStreams   = 100
	streamBuffer = 512 << 10
)

// NewServer makes a server with limits for clients.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerStream:     streamBuffer,
			MaxReceiveBufferPerConnection: maxStreams * streamBuffer,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // faults of clients
	}
}

// ClientIP finds the address of a request's client: that of the connection, or the one that
// trusted proxies give. The list was checked.
func ClientIP(proxies []string) echo.IPExtractor {
	if len(proxies) == 0 {
		return echo.ExtractIPDirect()
	}
	// By default Echo also trusts private networks.
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, network := range ProxyNetworks(proxies) {
		trust = append(trust, echo.TrustIPRange(network))
	}
	return echo.ExtractIPFromXFFHeader(trust...)
}

// ProxyNetworks parses http.trusted_proxies. The list was checked.
func ProxyNetworks(proxies []string) (networks []*net.IPNet) {
	for _, s := range proxies {
		if network, err := config.ParseProxy(s); err == nil {
			networks = append(networks, network)
		}
	}
	return networks
}

// BaseURL is the URL by which a program on this host reaches a listener. If the listener has
// all addresses of the host, it is the loopback address.
func BaseURL(scheme string, a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return scheme + "://" + a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			// A socket on [::] also takes IPv4, unless the host has none.
			host = "localhost"
		}
	}
	u := url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port)}
	return u.String()
}
