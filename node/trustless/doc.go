// Package trustless fetches blocks over HTTP, from trustless gateways: servers
// of which nothing is believed but what the hash of a block proves.
//
// https://specs.ipfs.tech/http-gateways/trustless-gateway/
//
// boxo has such a client in httpnet. It keeps its dialer to itself, so that
// nothing can be put beneath it that decides where connections may go, and
// connections to wherever a provider record says are what package guard is
// there to decide on. This one is given its transport.
//
// # What comes of a request
//
// A server that does not have a block ([ErrNotFound]), one that wants to be
// left alone for a while ([*BusyError]), one that does not do what a gateway
// does, or lies ([*BadError]), and one that cannot be reached or does not
// answer ([*UnreachableError]) are told apart. Each is about one block first of all:
// a gateway that answers oddly for one may have all others.
//
// A server cannot make a client wait for long, store much, or ask somebody else
// many times: an answer is bounded in size, in time in all, in time in which
// nothing comes, and in redirects. Nothing is decompressed.
package trustless
