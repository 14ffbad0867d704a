package cluster

import (
	"context"
	"net/url"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Claim is a request that the pinset says some server had.
type Claim struct {
	Instance string // of the server
	Account  string // ID of the account there
	Request  string // ID
	Spec     pin.Spec
	// Own says that this server asked for it, since its directory was made or restored.
	Own bool
}

// Claims yields the requests that the pinset tells of, of all servers that asked the cluster for
// something. A pin tells of 16 requests at most, and of the name and metadata of one.
func (e *Engine) Claims(ctx context.Context, found func(Claim) error) error {
	return e.each(ctx, "", func(p *peer) error {
		for is, err := range p.allocations(ctx) {
			if err != nil {
				return err
			}
			c, err := cid.Decode(is.CID)
			if err != nil {
				continue
			}
			for _, one := range e.claimsOf(c, &is) {
				if err := found(one); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// claimsOf reads the requests in the metadata of a pin.
func (e *Engine) claimsOf(c cid.Cid, is *pinInfo) (all []Claim) {
	for key, text := range is.Metadata {
		instance, ok := strings.CutPrefix(key, requestsPrefix)
		own := ok && instance == e.cfg.Instance && e.isOwnLife(is.Metadata)
		if !ok {
			if instance, ok = strings.CutPrefix(key, unknownPrefix); !ok {
				continue
			}
		}
		meta := make(map[string]string)
		for _, k := range strings.Fields(is.Metadata[keysPrefix+instance]) {
			if k, err := url.QueryUnescape(k); err == nil {
				meta[k] = is.Metadata[k]
			}
		}
		if len(meta) == 0 {
			meta = nil
		}
		name := is.Name
		if f := was(is); f.foreign && f.name != "" && f.name == name {
			name = ""
		}
		for _, s := range strings.Fields(text) {
			account, request, _ := strings.Cut(s, ".")
			one := Claim{
				Instance: instance, Account: longUUID(account), Request: longUUID(request),
				Spec: pin.Spec{CID: c.String(), Root: c, Name: name, Meta: meta},
				Own:  own,
			}
			if one.Account != "" && one.Request != "" {
				all = append(all, one)
			}
		}
	}
	return all
}
