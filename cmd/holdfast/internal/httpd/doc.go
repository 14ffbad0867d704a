// Package httpd bounds what clients may take of an HTTP server, and says how it speaks
// TLS, who a client is, and what browsers are told to mind.
package httpd
