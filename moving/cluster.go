package moving

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Cluster is an ipfs-cluster, by the REST API of one of its peers. It is a [Source].
//
// It lists what the cluster was told to pin. It never asks for the status of all pins: one peer
// that hangs holds up that answer.
type Cluster struct {
	api *api
	now func() time.Time
}

// NewCluster makes a client of a cluster. It makes no request.
func NewCluster(s Server) (*Cluster, error) {
	a, err := s.open("the cluster")
	if err != nil {
		return nil, err
	}
	return &Cluster{a, time.Now}, nil
}

// plainCID reads a CID as text, or as {"/": text}, which older versions write.
type plainCID string

func (c *plainCID) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, (*string)(c)) == nil {
		return nil
	}
	var link struct {
		CID string `json:"/"`
	}
	if err := json.Unmarshal(b, &link); err != nil {
		return err
	}
	*c = plainCID(link.CID)
	return nil
}

// allocation is what the cluster was told of one pin.
type allocation struct {
	CID         plainCID  `json:"cid"`
	Name        string    `json:"name"`
	Mode        string    `json:"mode"`
	Type        any       `json:"type"`      // a word, in older versions a number
	MaxDepth    *int      `json:"max_depth"` // -1 is all
	ExpireAt    time.Time `json:"expire_at"`
	Metadata    looseMeta `json:"metadata"`
	Origins     []string  `json:"origins"`
	Allocations []string  `json:"allocations"`
}

// Each lists the pins of the cluster.
func (c *Cluster) Each(ctx context.Context, fn func(Pin) error) error {
	nodes, err := c.nodes(ctx)
	if err != nil {
		return err
	}
	seen := map[string]struct{}{} // a list that broke off is read again
	return c.api.lines(ctx, http.MethodGet, "/allocations", url.Values{"filter": {"pin,meta-pin"}}, func(line []byte) error {
		var a allocation
		if err := json.Unmarshal(line, &a); err != nil {
			return fmt.Errorf("a line of the cluster's list cannot be read: %w", err)
		}
		if a.CID == "" {
			return fmt.Errorf("a line of the cluster's list has no CID")
		}
		if _, again := seen[string(a.CID)]; again {
			return nil
		}
		if len(seen) == maxPins {
			return errTooMany
		}
		seen[string(a.CID)] = struct{}{}
		return fn(c.pin(a, nodes))
	})
}

func (c *Cluster) pin(a allocation, nodes map[string][]string) Pin {
	p := Pin{CID: string(a.CID), Name: a.Name, Meta: a.Metadata, Origins: a.Origins}
	holders := a.Allocations
	if len(holders) == 0 { // every peer has it
		for peer := range nodes {
			holders = append(holders, peer)
		}
		slices.Sort(holders)
	}
	for _, peer := range holders {
		p.Origins = append(p.Origins, nodes[peer][:min(len(nodes[peer]), 2)]...)
	}
	p.Origins = p.Origins[:min(len(p.Origins), maxAddrs)]
	expires := a.ExpireAt.After(time.Unix(0, 0)) // the zero time is none, in whichever form
	switch depth := a.MaxDepth; {
	case a.Type == "meta-pin":
		p.LeftOut = "it is in shards, which only a cluster reads; pin it there without them first"
	case expires && !a.ExpireAt.After(c.now()):
		p.LeftOut = "it has expired at the source"
	case a.Mode == "direct", depth != nil && *depth == 0:
		p = p.direct()
	case depth != nil && *depth > 0:
		p.LeftOut = directOnly
	}
	if expires && p.LeftOut == "" {
		p.Note = "it expires at the source, and does not here"
	}
	return p
}

// nodes are the addresses of the IPFS nodes, by the ids of their cluster peers.
func (c *Cluster) nodes(ctx context.Context) (map[string][]string, error) {
	nodes := map[string][]string{}
	err := c.api.lines(ctx, http.MethodGet, "/peers", nil, func(line []byte) error {
		var peer struct {
			ID   string `json:"id"`
			IPFS struct {
				Addresses []string `json:"addresses"`
			} `json:"ipfs"`
		}
		if err := json.Unmarshal(line, &peer); err != nil {
			return fmt.Errorf("a peer in the cluster's list cannot be read: %w", err)
		}
		if len(nodes) < 1000 { // no cluster has as many
			nodes[peer.ID] = bestAddrs(peer.IPFS.Addresses)
		}
		return nil
	})
	return nodes, err
}
