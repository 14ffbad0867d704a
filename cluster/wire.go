package cluster

import (
	"encoding/json"
	"time"
)

// What cluster's REST API answers, as far as it is read here.

// pinInfo is a pin of the pinset.
type pinInfo struct {
	CID         string            `json:"cid"`
	Type        json.RawMessage   `json:"type"` // a name or a number, by version
	Name        string            `json:"name"`
	Allocations []string          `json:"allocations"` // none is all peers
	Min         int               `json:"replication_factor_min"`
	Max         int               `json:"replication_factor_max"`
	Expires     time.Time         `json:"expire_at"`
	Metadata    map[string]string `json:"metadata"`
	Origins     []string          `json:"origins"`
}

// globalStatus is the status of one CID at some peers.
type globalStatus struct {
	CID         string                `json:"cid"`
	Allocations []string              `json:"allocations"`
	Metadata    map[string]string     `json:"metadata"`
	Peers       map[string]peerStatus `json:"peer_map"` // by peer ID
}

// peerStatus is what one peer says of a CID.
type peerStatus struct {
	Name     string    `json:"peername"`
	Node     string    `json:"ipfs_peer_id"`
	Status   string    `json:"status"`
	Since    time.Time `json:"timestamp"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempt_count"`
}

// Statuses of a CID at a peer.
const (
	isPinned       = "pinned"
	isPinning      = "pinning"
	isQueued       = "pin_queued"
	isPinError     = "pin_error"
	isUnpinning    = "unpinning"
	isUnpinQueued  = "unpin_queued"
	isUnpinError   = "unpin_error"
	isLost         = "unexpectedly_unpinned" // the node does not have it, and should
	isUnpinned     = "unpinned"              // at a peer that should have it: it has not heard yet
	isRemote       = "remote"
	isClusterError = "cluster_error"
)

// inFlight is the filter for all that a peer has in memory. A filter for more makes it read all
// pins of its node.
const inFlight = isPinning + "," + isQueued + "," + isPinError + "," + isUnpinning + "," + isUnpinQueued + "," + isUnpinError

// identity is what a peer says of itself.
type identity struct {
	ID      string   `json:"id"`
	Name    string   `json:"peername"`
	Version string   `json:"version"`
	Members []string `json:"cluster_peers"`
	Error   string   `json:"error"`
	Node    struct {
		ID        string   `json:"id"`
		Addresses []string `json:"addresses"`
		Error     string   `json:"error"`
	} `json:"ipfs"`
}

// metric is what a peer last told the others of itself.
type metric struct {
	Name   string `json:"name"`
	Peer   string `json:"peer"`
	Value  string `json:"value"`
	Valid  bool   `json:"valid"`
	Weight int64  `json:"weight"`
}

// failure is the body of an answer that is an error.
type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}
