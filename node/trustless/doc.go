// Package trustless fetches blocks over HTTP from trustless gateways. Nothing that such a
// server sends is believed, except what the hash of a block proves.
//
// https://specs.ipfs.tech/http-gateways/trustless-gateway/
//
// boxo has such a client in httpnet. But its dialer cannot be replaced. Provider records name
// any address, and package guard has to decide where connections may go. So the client
// here gets its transport from the caller.
//
// # How a request ends
//
// If there is no block, the error says why:
//
//   - [ErrNotFound]: the server does not have the block.
//   - [*BusyError]: it wants to be left alone for a while.
//   - [*BadError]: it does not do what a gateway does, or it lies.
//   - [*UnreachableError]: it cannot be reached, or does not answer.
//
// Each is first of all about one block: a gateway that answers oddly for one block may have
// all others.
//
// A server cannot make the client wait for long, keep much in memory, or ask others many
// times. There are limits for the size of an answer, for the time that all of it takes, for
// the time in which nothing comes, and for redirects. Nothing is decompressed.
package trustless
