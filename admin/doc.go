// Package admin is the API by which operators run a server: its wire types, its handlers,
// and a client in Go, which the commands use.
//
// The API is HTTP with JSON, below /api/admin. A success is an object with "status":
// "success". Every other answer is a [Failure]. There are two ways to call it:
//
//   - By the Unix socket in the data directory ([Server.Handler]). If no server runs, a
//     command serves the same handler within its own process. A caller on the socket is the
//     operator of the host, and may do everything. Errors say what caused them, and what to
//     do.
//   - Over TCP, with the token of an admin ([Server.Register]), as package authhttp does it
//     for /api/auth.
//
// One table, in routes.go, has every route and says who may call it. On the socket there are
// also the PSA and, while a server runs, Kubo's RPC: for the account that a request names. On
// the socket a request may name an account by its address; over TCP it names accounts by their
// ids.
//
// The package knows neither the server nor the store. It declares what it needs of them
// ([Pins], [Store]).
//
// # Words
//
// The code calls an account an account everywhere. The command line and the wire also call it
// a user: `holdfast user`, --user, the header Holdfast-User. A login is the act of logging in,
// which makes a session.
package admin
