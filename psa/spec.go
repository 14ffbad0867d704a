package psa

import (
	"errors"
	"fmt"
	"net/netip"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/ipfs/boxo/verifcid"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multicodec"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	maxBody = 1 << 20  // bytes
	maxName = 255      // characters, as the spec has it
	maxMeta = 16 << 10 // bytes of all keys and values together
)

// invalid makes a [*pin.InvalidError] from a format.
func invalid(field, format string, a ...any) error {
	return &pin.InvalidError{Field: field, Msg: fmt.Sprintf(format, a...)}
}

// parseSpec reads a Pin object. from is the address that it surely came from; zero is that
// it is not known. Errors: [*pin.InvalidError].
func parseSpec(body []byte, from netip.Addr) (pin.Spec, error) {
	members, err := object(body)
	if err != nil {
		return pin.Spec{}, invalid("body", "%v", err)
	}
	var s pin.Spec
	if s.CID, s.Root, err = parseRoot(members["cid"]); err != nil {
		return pin.Spec{}, err
	}
	if s.Name, err = parseName(members["name"]); err != nil {
		return pin.Spec{}, err
	}
	if s.Origins, err = parseOrigins(members["origins"], from); err != nil {
		return pin.Spec{}, err
	}
	s.From = pin.RequesterOf(s.Origins, from)
	if s.Meta, err = parseMeta(members["meta"]); err != nil {
		return pin.Spec{}, err
	}
	return s, nil
}

func parseRoot(raw jsontext.Value) (string, cid.Cid, error) {
	if isNull(raw) {
		return "", cid.Undef, invalid("cid", "is required")
	}
	text, ok := jsonString(raw)
	if !ok {
		return "", cid.Undef, invalid("cid", "must be a string")
	}
	c, err := parseCID(text)
	if err != nil {
		return "", cid.Undef, err
	}
	if !pin.CanRead(c.Type()) {
		return "", cid.Undef, invalid("cid", "its codec, %s, is not supported: use %s", multicodec.Code(c.Type()), pin.CodecNames())
	}
	err = verifcid.ValidateCid(verifcid.DefaultAllowlist, c)
	switch {
	case errors.Is(err, verifcid.ErrPossiblyInsecureHashFunction):
		code := c.Prefix().MhType
		name, known := multihash.Codes[code]
		if !known {
			name = fmt.Sprintf("0x%x", code)
		}
		return "", cid.Undef, invalid("cid", "its hash function, %s, is not supported: use sha2-256 or another that is secure", name)
	case err != nil:
		return "", cid.Undef, invalid("cid", "its hash is not supported: %v", err)
	}
	return text, c, nil
}

// parseCID reads a CIDv0, or a CIDv1 in any base. It refuses the CID of a key, which names a
// peer or an IPNS record, and no content.
func parseCID(text string) (cid.Cid, error) {
	c, err := pin.ParseCID(text)
	if err != nil || c.Type() == cid.Libp2pKey {
		if msg := misnamed(text); msg != "" {
			return cid.Undef, invalid("cid", "%s %s", quote(text), msg)
		}
	}
	if err != nil {
		return cid.Undef, invalid("cid", "%s %v", quote(text), err)
	}
	return c, nil
}

func parseName(raw jsontext.Value) (string, error) {
	if isNull(raw) {
		return "", nil
	}
	name, ok := jsonString(raw)
	if !ok {
		return "", invalid("name", "must be a string")
	}
	return name, checkName(name)
}

func checkName(name string) error {
	if !utf8.ValidString(name) {
		return invalid("name", "is not valid UTF-8")
	}
	if n := utf8.RuneCountInString(name); n > maxName {
		return invalid("name", "has %d characters; the maximum is %d", n, maxName)
	}
	return nil
}

// parseOrigins chooses the origins to keep. They are hints, so neither an origin that cannot
// be read nor too many of them are an error.
func parseOrigins(raw jsontext.Value, from netip.Addr) ([]string, error) {
	if isNull(raw) || isEmpty(raw, jsontext.KindBeginObject) { // {} is how JavaScript writes a Set
		return nil, nil
	}
	given, ok := stringList(raw)
	if !ok {
		return nil, invalid("origins", "must be a list of strings")
	}
	return pin.BestOrigins(given, from), nil
}

func parseMeta(raw jsontext.Value) (map[string]string, error) {
	if isNull(raw) || isEmpty(raw, jsontext.KindBeginArray) { // [] is how PHP writes an empty map
		return nil, nil
	}
	meta, err := stringMap(raw)
	if err != nil {
		return nil, invalid("meta", "%v", err)
	}
	return meta, checkMeta(meta)
}

func checkMeta(meta map[string]string) error {
	size := 0
	for k, v := range meta {
		size += len(k) + len(v)
	}
	if size > maxMeta {
		return invalid("meta", "has %d bytes of keys and values; the maximum is %d", size, maxMeta)
	}
	return nil
}
