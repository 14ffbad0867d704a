package guard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	// An address that has not answered a SYN within this will not answer.
	dialTimeout = 10 * time.Second
	// A connection that is idle for this long is closed. It is longer than a pause between
	// two batches of blocks.
	idleTimeout = 90 * time.Second
	// One for each host that is asked at the same time.
	idleConns = 64
	// Headers of an honest answer are a few hundred bytes.
	maxHeaders = 32 << 10
	// HTTP/2 connections that are silent for pingAfter while they are used are
	// asked whether they live, and closed if they do not answer in pingTimeout.
	pingAfter   = 15 * time.Second
	pingTimeout = 10 * time.Second
)

// Control is a net.Dialer's ControlContext: it judges the address that a socket is about to
// connect to. If a name resolved to several, each is judged by itself. Only TCP and UDP over
// IP pass.
func (g Guard) Control(_ context.Context, network, address string, _ syscall.RawConn) error {
	switch network {
	case "tcp4", "tcp6", "udp4", "udp6":
	default:
		return &RefusedError{Addr: address, Why: "not of TCP or UDP"}
	}
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return &RefusedError{Addr: address, Why: "no address"}
	}
	return g.Addr(a.Addr())
}

// Transport makes an HTTP transport whose connections the guard judges at the
// socket, wherever a URL, a redirect or a name leads. It uses no proxies, decompresses
// nothing, and opens at most connsPerHost connections to a host, which it keeps for the next
// requests. resolver looks up names; nil is the system's. The caller closes idle connections
// at the end.
func (g Guard) Transport(connsPerHost int, resolver *net.Resolver) *http.Transport {
	dialer := &net.Dialer{
		Timeout:        dialTimeout,
		Resolver:       resolver,
		ControlContext: g.Control,
	}
	return &http.Transport{
		// A proxy would connect in our place, unguarded.
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		DisableCompression:     true, // blocks do not compress, and bombs do
		ForceAttemptHTTP2:      true, // which Go leaves out with a dialer of one's own
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		MaxConnsPerHost:        connsPerHost,
		MaxIdleConnsPerHost:    connsPerHost,
		MaxIdleConns:           idleConns,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    dialTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeaders,
	}
}

// ErrRedirect: a redirect is not followed, by the rules of [Redirects].
var ErrRedirect = errors.New("not following a redirect")

// Redirects is an http.Client's CheckRedirect that follows up to limit redirects, to HTTP and
// HTTPS alone, and never from HTTPS to HTTP. Where they lead is judged at the socket. Errors:
// ErrRedirect.
func Redirects(limit int) func(*http.Request, []*http.Request) error {
	return func(to *http.Request, via []*http.Request) error {
		switch {
		case len(via) > limit:
			return fmt.Errorf("%w: it is more than the %d that are followed", ErrRedirect, limit)
		case to.URL.Scheme != "https" && to.URL.Scheme != "http":
			return fmt.Errorf("%w to a URL of %q", ErrRedirect, to.URL.Scheme)
		case to.URL.Scheme == "http" && via[len(via)-1].URL.Scheme == "https":
			return fmt.Errorf("%w from HTTPS to HTTP", ErrRedirect)
		}
		return nil
	}
}
