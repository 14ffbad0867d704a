package psa

import (
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// ReadPin checks a Pin object that came by another way than a request's body, by the same
// rules. from is the address that it surely came from; zero is that it is not known.
// Errors: [*pin.InvalidError].
func ReadPin(p Pin, from netip.Addr) (pin.Spec, error) {
	body, err := json.Marshal(p)
	if err != nil { // strings and lists of them can be encoded
		return pin.Spec{}, invalid("body", "%v", err)
	}
	return parseSpec(body, from)
}

// FindCID reads the CID out of what people copy when they mean one: the CID itself, an
// ipfs:// address, an /ipfs/ path or the URL of a gateway, with white space around it. A path
// below a CID, and a name that may lead to something else later, are errors, which say what
// to do. Errors: [*pin.InvalidError] of the field "cid".
func FindCID(text string) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return "", invalid("cid", "is required")
	}
	_, err := parseCID(text)
	if err == nil {
		return text, nil
	}
	if len(text) > maxReference {
		return "", err
	}
	r, ok := findReference(text)
	if !ok || r.ipns || r.path != "" {
		return "", err
	}
	if c, unread := pin.ParseCID(r.name); unread == nil && c.Type() != cid.Libp2pKey {
		return r.name, nil
	}
	return "", err
}
