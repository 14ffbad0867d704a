// Package authhttp is package auth over HTTP: the endpoints under /api/auth, and the
// middleware by which others know who asks.
package authhttp
