package links

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multicodec"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
)

func cborBytes(b []byte) string { return "\x58" + string([]byte{byte(len(b))}) + string(b) }

func cborText(s string) string { return "\x78" + string([]byte{byte(len(s))}) + s }

func TestJOSE(t *testing.T) {
	signed, other := dagtest.CBOR("signed").Cid(), dagtest.Raw("other").Cid()
	payload := cborText("payload") + cborBytes(signed.Bytes())
	jwe := cborText("ciphertext") + cborBytes([]byte("secret"))
	for name, c := range map[string]struct {
		data string
		want []cid.Cid // nil is that it is refused
		says string
	}{
		"JWS":                      {string(dagtest.JWS(signed).RawData()), []cid.Cid{signed}, ""},
		"header with true, null":   {"\xa2" + payload + cborText("signatures") + "\x81\xa1" + cborText("header") + "\xa2aa\xf5ab\xf6", []cid.Cid{signed}, ""},
		"payload in base64url":     {"\xa1" + cborText("payload") + cborText(base64.RawURLEncoding.EncodeToString(signed.Bytes())), []cid.Cid{signed}, ""},
		"link in a header":         {"\xa2" + payload + cborText("header") + cborLink(other), []cid.Cid{other, signed}, ""},
		"without a length":         {"\xbf" + payload + "\xff", []cid.Cid{signed}, ""},
		"JWE":                      {"\xa1" + jwe, []cid.Cid{}, ""},
		"JWE with a link":          {"\xa2" + jwe + cborText("unprotected") + cborLink(other), []cid.Cid{other}, ""},
		"link beside the payload":  {"\xa2" + cborText("link") + cborLink(other) + cborText("payload") + cborBytes([]byte("text")), []cid.Cid{other}, ""},
		"keys that are no text":    {"\xa2\x01\x02" + payload, []cid.Cid{signed}, ""},
		"payload that is no CID":   {"\xa1" + cborText("payload") + cborBytes([]byte("text")), nil, "its payload is no CID"},
		"payload that is a number": {"\xa1" + cborText("payload") + "\x01", nil, "its payload is no CID"},
		"neither":                  {"\xa1aa\x01", nil, "neither a payload nor a ciphertext"},
		"a list":                   {"\x80", nil, "no map"},
		"cut off":                  {"\xa2" + payload, nil, "cut off"},
		"cut off without a length": {"\xbf" + payload, nil, "cut off"},
		"more after the end":       {"\xa1" + payload + "\x00", nil, "1 bytes follow"},
		"nothing":                  {"", nil, "cut off"},
	} {
		got, err := Of(under(multicodec.DagJose), []byte(c.data))
		switch {
		case c.want == nil && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want %q", name, err, c.says)
		case c.want != nil && (err != nil || !slices.Equal(got, c.want)):
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
