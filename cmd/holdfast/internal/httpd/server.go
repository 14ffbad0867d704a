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

// Bounds of one HTTP request. Bodies are a MiB at most and answers are made
// from memory or an index, so that what takes longer is a client that dawdles.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	// The longest answer, 1,000 pins with 16 KiB of meta each, at 30 KB/s.
	// Whoever takes nothing at all is cut off earlier, after writeStall.
	writeTimeout = 10 * time.Minute
	idleTimeout  = 2 * time.Minute // longer than any client's pause between polls
	// 16 KiB of meta, every byte of it escaped, beside ten CIDs.
	maxHeaderBytes = 128 << 10
)

// NewServer bounds what a client may take of the server.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // clients' faults
	}
}

// ClientIP finds a request's address: that of the connection, or what trusted
// proxies say of it. The configuration was checked.
func ClientIP(proxies []string) echo.IPExtractor {
	if len(proxies) == 0 {
		return echo.ExtractIPDirect()
	}
	// Echo trusts private networks by default, which is more than was asked for.
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, network := range ProxyNetworks(proxies) {
		trust = append(trust, echo.TrustIPRange(network))
	}
	return echo.ExtractIPFromXFFHeader(trust...)
}

// ProxyNetworks reads http.trusted_proxies, which was checked.
func ProxyNetworks(proxies []string) (networks []*net.IPNet) {
	for _, s := range proxies {
		if network, err := config.ParseProxy(s); err == nil {
			networks = append(networks, network)
		}
	}
	return networks
}

// BaseURL is where a program on this host reaches a listener: an address that
// is not specified is taken as loopback.
func BaseURL(scheme string, a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return scheme + "://" + a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			// A socket on [::] takes IPv4 as well, unless the host has none.
			host = "localhost"
		}
	}
	u := url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port)}
	return u.String()
}
