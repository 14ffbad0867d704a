// Package kuborpc is a client of Kubo's RPC, for the commands that bring content in and out:
// of Holdfast's own, and of every other that speaks it.
//
// https://docs.ipfs.tech/reference/kubo/rpc/
//
// What is sent is read as it goes, and what comes is given on as it comes, so neither takes
// memory. An answer that breaks off is an error, also where HTTP shows its status only behind
// the answer ([Answer]).
package kuborpc
