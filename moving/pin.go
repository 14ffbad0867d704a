package moving

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/multiformats/go-multicodec"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Pin is a pin at a source.
type Pin struct {
	CID     string            `json:"cid"`
	Name    string            `json:"name,omitempty"`
	Origins []string          `json:"origins,omitempty"` // multiaddrs of nodes that have it
	Meta    map[string]string `json:"meta,omitempty"`
	// LeftOut says why the pin cannot come; "" if it can.
	LeftOut string `json:"-"`
	// Note is what is lost on the way; "" if nothing is.
	Note string `json:"-"`
}

// Source lists pins.
type Source interface {
	// Each calls fn with every pin, until fn fails. It asks again by itself what can be
	// asked again. An error says that there may be more pins than those that were listed.
	Each(ctx context.Context, fn func(Pin) error) error
}

// Dialer is a source that can connect its nodes to those of the target. Then blocks come
// although the target may not dial the source.
type Dialer interface {
	// Dial connects to nodes, by multiaddrs that end in /p2p/ID.
	Dial(ctx context.Context, addrs []string) error
}

// Request is a pin request at a target.
type Request struct {
	ID        string
	Pin       Pin
	Status    pin.Status
	Details   string   // why it failed, or what it waits for
	Blocks    string   // how many came, while it is pinning; "" if that is not known
	Delegates []string // nodes that will fetch it
}

// Target is a pinning service, for one account. Its methods try again by themselves what may
// succeed later.
type Target interface {
	// Requests calls fn with each request that has one of the statuses, until fn fails.
	Requests(ctx context.Context, statuses []pin.Status, fn func(Request) error) error
	// Add makes a request. The key is the same for the same pin. If the service
	// refuses the request, the error is an [*AnswerError].
	Add(ctx context.Context, p Pin, key string) (Request, error)
	// Same gives pins that are the same one at the target the same text.
	Same(p Pin) string
}

// identity is a short text that two pins share if they have the same CID, name and
// metadata. With rough, versions 0 and 1 of a CID are the same, and metadata does not count.
func identity(p Pin, rough bool) string {
	h := sha256.New()
	add := func(s string) {
		h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	c, err := pin.ParseCID(p.CID)
	switch {
	case err != nil:
		add(p.CID)
	case rough:
		add(string(pin.DAGOf(c)))
	default:
		add(c.KeyString())
	}
	add(p.Name)
	if !rough {
		for _, k := range slices.Sorted(maps.Keys(p.Meta)) {
			add(k)
			add(p.Meta[k])
		}
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:15]) // no two of 2^60 pins are likely the same
}

// checked is a pin with a CID alone, without /ipfs/ and the like around it, and with the
// reason why it cannot be pinned, if there is one.
func (p Pin) checked() Pin {
	bare := strings.TrimSpace(p.CID)
	for _, prefix := range []string{"/ipfs/", "ipfs://"} {
		bare = strings.TrimPrefix(bare, prefix)
	}
	p.CID = strings.TrimSuffix(bare, "/")
	if p.LeftOut != "" {
		return p
	}
	if strings.ContainsAny(p.CID, "/?#") {
		p.LeftOut = "it is a path, and only a CID can be pinned"
		return p
	}
	c, err := pin.ParseCID(p.CID)
	switch {
	case err != nil:
		p.LeftOut = "it " + err.Error()
	case !pin.CanRead(c.Type()):
		p.LeftOut = fmt.Sprintf("its codec, %s, cannot be pinned", multicodec.Code(c.Type()))
	}
	return p
}

// directOnly is why a pin of one block cannot come.
const directOnly = "pinned directly at the source, as a block without what is below it; a pin here has all of it"

// direct is a pin of one block, as it can come: if nothing can be below the block, it is the
// same as a pin of all.
func (p Pin) direct() Pin {
	if c, err := pin.ParseCID(p.CID); err == nil && multicodec.Code(c.Type()) != multicodec.Raw {
		p.LeftOut = directOnly
	}
	return p
}

// looseMeta reads metadata as services send it. What is no string is kept as its JSON.
type looseMeta map[string]string

func (m *looseMeta) UnmarshalJSON(b []byte) error {
	text := string(b)
	if text == "null" || text == "[]" { // [] is how PHP writes an empty map
		return nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*m = make(looseMeta, len(raw))
	for k, v := range raw {
		var s string
		if json.Unmarshal(v, &s) != nil {
			s = string(v)
		}
		(*m)[k] = s
	}
	return nil
}

// wirePin is a pin in the JSON of services and lists. Absent and null are the same.
type wirePin struct {
	CID     string    `json:"cid"`
	Name    string    `json:"name"`
	Origins []string  `json:"origins"`
	Meta    looseMeta `json:"meta"`
}

func (w wirePin) pin() Pin {
	return Pin{CID: w.CID, Name: w.Name, Origins: w.Origins, Meta: w.Meta}
}
