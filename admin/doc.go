// Package admin is the API by which operators run a server: its wire types, its handlers,
// and a client in Go, which the commands use.
//
// It is HTTP with JSON, below /api/admin. Each answer that is a success is an object with
// "status": "success", and each other a [Failure]. There are two ways to call it:
//
//   - by the Unix socket in the data directory, while a server runs, or within the command
//     that is run while none does ([Server.Handler]). Whoever reaches that is the operator
//     of the host, and may do everything. Errors say what caused them, and what to do.
//   - over TCP, with the token of an admin ([Server.Register]), as package authhttp has it
//     for /api/auth.
//
// One table (routes.go) has every route, and for each who may call it. On the socket
// there is the PSA besides, for whichever account a request names, and an account can be
// named by its address where over TCP it is by its id.
//
// The package knows neither the server nor the store: what it needs of them it declares
// ([Pins], [Store]).
package admin
