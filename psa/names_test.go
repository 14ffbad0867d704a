package psa

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// People send other things in place of a CID. The error says what they sent, and what to send.
func TestCIDsThatAreNot(t *testing.T) {
	const (
		k51    = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8"
		peerID = "12D3KooWGjMCwmf2JqsSg8JRLLoRNvTUfJkS8SYzN4jvTLNGHrWn"
		peer   = "is an IPNS name or a peer ID, not the CID of content: if it is a name, `ipfs resolve -r /ipns/"
		alone  = ": send the CID alone, "
	)
	bafz := cidOf(0x72, 0x12, 32)
	for text, msg := range map[string]string{
		k51:                          peer + k51 + "`",
		bafz:                         peer + bafz + "`",
		peerID:                       peer + peerID + "`",
		k51 + "\n":                   peer + k51 + "`",
		"/ipns/" + k51:               "is not a CID but a path with a name, which may point to something else later: `ipfs resolve -r /ipns/" + k51 + "`",
		"/ipns/example.com/a":        "`ipfs resolve -r /ipns/example.com/a`",
		"ipns://example.com":         "is not a CID but an address with a name",
		"/ipfs/" + k51:               "`ipfs resolve -r /ipns/" + k51 + "`",
		"example.com":                "is not a CID but a domain with a name, which may point to something else later: `ipfs resolve -r /ipns/example.com`",
		"docs.example.co.uk/x/":      "`ipfs resolve -r /ipns/docs.example.co.uk/x`",
		"https://example.com/a.html": "is not a CID but a URL: send the CID alone, without",
		"/ipfs/" + cidV0:             "is not a CID but a path" + alone + cidV0,
		"/ipfs/" + cidV1 + "/":       "is not a CID but a path" + alone + cidV1,
		"ipfs://" + cidV1:            "is not a CID but an address" + alone + cidV1,
		"IPFS://" + cidV1 + "/":      "is not a CID but an address" + alone + cidV1,
		" /ipfs/" + cidV0 + "\n":     "is not a CID but a path" + alone + cidV0,
		cidV1 + "/":                  "is not a CID but a path" + alone + cidV1,
		"/ipfs/" + cidV0 + "/a/b":    "is not a CID but a path below one: `ipfs resolve -r /ipfs/" + cidV0 + "/a/b` shows the CID",
		"ipfs://" + cidV0 + "/a":     "is not a CID but an address below one: `ipfs resolve -r /ipfs/" + cidV0 + "/a`",
		cidV0 + "/a%20b":             "below one: `ipfs resolve -r PATH`",
		cidV0 + "/a;b`c":             "below one: `ipfs resolve -r PATH`",
		"/ipfs/nonsense":             "is not a CID but a path: send the CID alone, without",
		"/nonsense":                  "is not a CID but a path: send the CID alone, without",
		"http://127.0.0.1:8080/ipfs/" + cidV0 + "?filename=a.txt":  "is not a CID but a URL" + alone + cidV0,
		"https://gateway.example/ipfs/" + cidV1 + "/a#b":           "is not a CID but a URL below one: `ipfs resolve -r /ipfs/" + cidV1 + "/a`",
		"gateway.example/ipfs/" + cidV1:                            "is not a CID but a path" + alone + cidV1,
		"https://" + cidV1 + ".ipfs.gateway.example/":              "is not a CID but a URL" + alone + cidV1,
		cidV1 + ".ipfs.gateway.example":                            "is not a CID but a URL" + alone + cidV1,
		"https://my--site-example-org.ipns.gateway.example/a?x=/b": "`ipfs resolve -r /ipns/my-site.example.org/a`",
		"https://" + k51 + ".ipns.gateway.example":                 "`ipfs resolve -r /ipns/" + k51 + "`",
		"\t" + cidV1:       "is not a CID: it has white space around it, such as a line break; send " + cidV1,
		cidV0 + " ":        "white space around it, such as a line break; send " + cidV0,
		cidV1 + "\r\n":     "white space around it, such as a line break; send " + cidV1,
		"203.0.113.1":      "is not a CID: ",
		"hello":            "is not a CID: ",
		"one two":          "is not a CID: ",
		" ":                "is not a CID: ",
		"a..b":             "is not a CID: ",
		"1" + cidV0 + "/0": "is not a CID: ",
	} {
		b, err := json.Marshal(map[string]string{"cid": text})
		if err != nil {
			t.Fatal(err)
		}
		_, err = parseSpec(b, netip.Addr{})
		wantInvalid(t, err, "cid", msg)
		_, err = ParseQuery("cid=" + url.QueryEscape(text))
		wantInvalid(t, err, "cid", msg)
	}
	_, err := parseCID("/ipfs/" + strings.Repeat("x", 1<<16))
	wantInvalid(t, err, "cid", "too long")
}
