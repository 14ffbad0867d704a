// Package authhttp is package auth over HTTP. [Register] serves the endpoints under
// /api/auth. [Middleware] checks the bearer token of a request for other APIs. [Mount]
// serves other routes in the same way; package admin uses it.
package authhttp
