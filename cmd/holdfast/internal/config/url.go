package config

import (
	"net"
	"net/url"
	"time"
)

// Public is the base URL of the server for clients, if the configuration has one. "" says
// that clients use the address of the listener.
func (c HTTP) Public() string {
	if c.PublicURL == "" && c.TLS == TLSACME {
		return "https://" + c.ACMEDomains[0] // its port 443 leads here, or the CA gives no certificate
	}
	return c.PublicURL
}

// PublicName is the host name by which clients reach the server, and which its certificate
// is for. It is "" if there is none, or an IP address in its place.
func (c HTTP) PublicName() string {
	u, err := url.Parse(c.Public())
	if err != nil || isAddress(u.Hostname()) {
		return ""
	}
	return u.Hostname()
}

// ConfiguredURL is the base URL of a server that does not run: Public, else the configured
// address.
func ConfiguredURL(c HTTP) string {
	if base := c.Public(); base != "" {
		return base
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || host == "" {
		host = "127.0.0.1"
	}
	u := url.URL{Scheme: c.Scheme(), Host: net.JoinHostPort(host, port)}
	return u.String()
}

// Values of http.tls.
const (
	TLSOff   = "off"
	TLSFiles = "files"
	TLSACME  = "acme"
)

// CertificateSoon is how long before its end somebody should look for a new certificate. Those that
// ACME gives are renewed a month before they end.
const CertificateSoon = 14 * 24 * time.Hour

// Scheme is the scheme of the server's URLs.
func (c HTTP) Scheme() string {
	if c.TLS == TLSOff {
		return "http"
	}
	return "https"
}
