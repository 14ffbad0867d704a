package links

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
)

// fromJOSE gives the links of dag-jose (https://ipld.io/specs/codecs/dag-jose/spec/): dag-cbor,
// in which the payload of a signed object (JWS) is the CID of what is signed. An encrypted
// one (JWE) has a ciphertext in its place.
func fromJOSE(data []byte) ([]cid.Cid, error) {
	s := cborScanner{data: data}
	major, left, sized, err := s.head()
	if err != nil {
		return nil, err
	}
	if major != majorMap {
		return nil, errors.New("it is no map")
	}
	var signed, encrypted, linked bool
	var payload []byte
	for ; !sized || left > 0; left-- {
		if !sized && s.at < len(data) && data[s.at] == breakByte {
			s.at++
			break
		}
		name, err := s.member()
		if err != nil {
			return nil, err
		}
		at, links := s.at, len(s.links)
		if err := s.item(); err != nil {
			return nil, err
		}
		switch string(name) {
		case "payload":
			signed, payload = true, data[at:s.at]
		case "ciphertext":
			encrypted = true
		case "link": // the payload as a link, which encoders leave out
			linked = len(s.links) > links
		}
	}
	switch {
	case s.at < len(data):
		return nil, s.wrong(s.at, "%d bytes follow after the end", len(data)-s.at)
	case !signed && !encrypted:
		return nil, errors.New("it has neither a payload nor a ciphertext")
	case !signed:
		return s.links, nil
	}
	c, err := payloadCID(payload)
	switch {
	case err == nil:
		return append(s.links, c), nil
	case linked:
		return s.links, nil
	}
	return nil, fmt.Errorf("its payload is no CID: %w", err)
}

// member reads the key of a map's member, and gives it if it is text.
func (s *cborScanner) member() (name []byte, err error) {
	at := s.at
	if err := s.item(); err != nil {
		return nil, err
	}
	key := cborScanner{data: s.data[at:s.at]}
	if major, n, sized, err := key.head(); err == nil && major == majorText {
		return key.str(major, n, sized, true)
	}
	return nil, nil
}

// payloadCID reads a payload, which is bytes, or as in JSON the base64url of them.
func payloadCID(item []byte) (cid.Cid, error) {
	s := cborScanner{data: item}
	major, n, sized, err := s.head()
	if err != nil {
		return cid.Undef, err
	}
	if major != majorBytes && major != majorText {
		return cid.Undef, errors.New("it is not bytes")
	}
	b, err := s.str(major, n, sized, true)
	if err != nil {
		return cid.Undef, err
	}
	if major == majorText {
		if b, err = base64.RawURLEncoding.DecodeString(string(b)); err != nil {
			return cid.Undef, err
		}
	}
	return cid.Cast(b)
}
