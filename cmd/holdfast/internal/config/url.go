package config

import (
	"net"
	"net/url"
)

// Public is where clients find a server of that configuration; "" if that is
// its address, as far as it is known.
func (c HTTP) Public() string {
	if c.PublicURL == "" && c.TLS == TLSACME {
		return "https://" + c.ACMEDomains[0] // the CA was there, on its port 443
	}
	return c.PublicURL
}

// PublicName is the host name by which clients find a server of that configuration, and
// which its certificate is for; "" if there is none, or it is an IP address.
func (c HTTP) PublicName() string {
	u, err := url.Parse(c.Public())
	if err != nil || isAddress(u.Hostname()) {
		return ""
	}
	return u.Hostname()
}

// ConfiguredURL is where clients find a server of that configuration, as far
// as that can be known while none runs.
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

// Scheme is that of the URLs of a server with that configuration.
func (c HTTP) Scheme() string {
	if c.TLS == TLSOff {
		return "http"
	}
	return "https"
}
