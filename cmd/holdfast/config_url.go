package main

import (
	"net"
	"net/url"
)

// publicURL is where clients find a server of that configuration; "" if that is
// its address, as far as it is known.
func (c HTTPConfig) publicURL() string {
	if c.PublicURL == "" && c.TLS == tlsACME {
		return "https://" + c.ACMEDomains[0] // the CA was there, on its port 443
	}
	return c.PublicURL
}

// configuredURL is where clients find a server of that configuration, as far
// as that can be known while none runs.
func configuredURL(c HTTPConfig) string {
	if base := c.publicURL(); base != "" {
		return base
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || host == "" {
		host = "127.0.0.1"
	}
	u := url.URL{Scheme: c.scheme(), Host: net.JoinHostPort(host, port)}
	return u.String()
}

// Values of http.tls.
const (
	tlsOff   = "off"
	tlsFiles = "files"
	tlsACME  = "acme"
)

// scheme is that of the URLs of a server with that configuration.
func (c HTTPConfig) scheme() string {
	if c.TLS == tlsOff {
		return "http"
	}
	return "https"
}
