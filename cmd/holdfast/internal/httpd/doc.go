// Package httpd is what the HTTP servers share: limits for clients, TLS, the addresses of
// clients, and the security headers for browsers.
package httpd
