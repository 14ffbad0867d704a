package psa

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"
	"github.com/multiformats/go-multicodec"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// CIDs that cannot be pinned.
var (
	gitCID    = cidOf(cid.GitRaw, multihash.SHA1, 20)
	carCID    = cidOf(uint64(multicodec.Car), multihash.SHA2_256, 32)
	murmurCID = cidOf(cid.Raw, multihash.MURMUR3X64_64, 8)
)

// cidOf makes a CIDv1 with a digest of the given length in bytes.
func cidOf(codec, hash uint64, length int) string {
	mh, err := multihash.Encode(make([]byte, length), hash)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(codec, mh).String()
}

func TestSpecGivesBackWhatWasWritten(t *testing.T) {
	got, err := parseSpec([]byte(` {"cid":"`+cidV0+`", "name":"a\u0000ü😀\ud83d\ude00", "Name":"not this",
		"origins":["`+origin+`","`+delegate+`","`+origin+`"],
		"meta":{"k":"v","K":"V","":"e","e":""}, "unknown":{"cid":1,"cid":2}} `), netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	if got.CID != cidV0 || got.Root.String() != cidV0 || got.Name != "a\x00ü😀😀" {
		t.Errorf("got %+v", got)
	}
	if want := []string{origin, delegate}; !slices.Equal(got.Origins, want) {
		t.Errorf("origins %q, want %q", got.Origins, want)
	}
	if want := map[string]string{"k": "v", "K": "V", "": "e", "e": ""}; !maps.Equal(got.Meta, want) {
		t.Errorf("meta %q, want %q", got.Meta, want)
	}
}

// Optional members may be left out, null or empty, which mean the same. JavaScript writes an
// empty Set as {}, and PHP writes an empty map as [].
func TestSpecOptionalMembers(t *testing.T) {
	for _, rest := range []string{
		``, `,"name":null,"origins":null,"meta":null`, `,"name":"","origins":[],"meta":{}`,
		`,"origins":{}`, `,"origins": { } ,"meta":null`, `,"origins":{},"meta":[]`, `,"meta": [
		]`,
	} {
		got, err := parseSpec([]byte(`{"cid":"`+cidV0+`"`+rest+`}`), netip.Addr{})
		if err != nil || got.Name != "" || got.Origins != nil || got.Meta != nil {
			t.Errorf("%s: got %+v, %v", rest, got, err)
		}
	}
}

func TestSpecTakesEveryCID(t *testing.T) {
	root := cid.MustParse(cidV1)
	texts := []string{cidV0, cidV1}
	for base := range multibase.EncodingToStr {
		if base == multibase.Identity {
			continue // not text
		}
		text, err := root.StringOfBase(base)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	if len(texts) < 20 {
		t.Fatalf("only %d bases", len(texts)-2)
	}
	for _, codec := range pin.Codecs {
		texts = append(texts, cidOf(uint64(codec), multihash.SHA2_256, 32))
	}
	texts = append(texts, gitCID)
	for _, hash := range []uint64{
		multihash.SHA1, multihash.SHA2_256, multihash.SHA2_512, multihash.SHA3_256, multihash.KECCAK_256,
		multihash.BLAKE3, multihash.BLAKE2B_MIN + 31, multihash.BLAKE2S_MIN + 31, multihash.DBL_SHA2_256,
	} {
		texts = append(texts, cidOf(cid.Raw, hash, 32))
	}
	// The data of an identity CID may be empty, and 128 bytes at the most.
	longest, err := cid.MustParse(cidOf(cid.Raw, multihash.IDENTITY, 128)).StringOfBase(multibase.Base2)
	if err != nil {
		t.Fatal(err)
	}
	texts = append(texts, cidOf(cid.Raw, multihash.IDENTITY, 0), longest)
	for _, text := range texts {
		b, err := json.Marshal(map[string]string{"cid": text})
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseSpec(b, netip.Addr{})
		if err != nil || got.CID != text || !got.Root.Equals(cid.MustParse(text)) {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
}

// The decoders of multibase read these texts as the CID, but the texts differ from it.
func TestSpecRefusesWhatIsPassedOver(t *testing.T) {
	for text, msg := range map[string]string{
		cidV1 + "\n":                     "line break",
		"\n" + cidV1:                     "line break",
		cidV1[:20] + "\r\n" + cidV1[20:]: "line break",
	} {
		b, err := json.Marshal(map[string]string{"cid": text})
		if err != nil {
			t.Fatal(err)
		}
		_, err = parseSpec(b, netip.Addr{})
		wantInvalid(t, err, "cid", msg)
	}
}

func TestSpecRefuses(t *testing.T) {
	with := func(rest string) string { return `{"cid":"` + cidV0 + `",` + rest + `}` }
	for _, tt := range []struct{ name, body, field, msg string }{
		{"empty", ``, "body", "not valid JSON"},
		{"cut", `{"cid":"` + cidV0, "body", "not valid JSON"},
		{"trailing garbage", with(`"name":"n"`) + `x`, "body", "not valid JSON"},
		{"two documents", pinBody(cidV0) + pinBody(cidV0), "body", "not valid JSON"},
		{"trailing comma", `{"cid":"` + cidV0 + `",}`, "body", "not valid JSON"},
		{"a list", `["` + cidV0 + `"]`, "body", "must be a JSON object"},
		{"a string", `"` + cidV0 + `"`, "body", "must be a JSON object"},
		{"null", `null`, "body", "must be a JSON object"},
		{"byte order mark", "\ufeff" + pinBody(cidV0), "body", "not valid JSON"},
		{"Latin-1", with(`"name":"caf` + "\xe9" + `"`), "body", "UTF-8"},
		{"overlong UTF-8", with(`"name":"` + "\xc0\x80" + `"`), "body", "UTF-8"},
		{"control character", with(`"name":"` + "a\nb" + `"`), "body", "not valid JSON"},
		{"first half of a pair", with(`"name":"\ud83dx"`), "body", "surrogate"},
		{"first half at the end", with(`"name":"\ud83d"`), "body", "surrogate"},
		{"second half", with(`"name":"\ude00"`), "body", "surrogate"},
		{"halves in the wrong order", with(`"name":"\ude00\ud83d"`), "body", "surrogate"},
		{"half before another escape", with(`"name":"\ud83d\u0041"`), "body", "surrogate"},
		{"half in a key", with(`"meta":{"\ud83d":"v"}`), "body", "surrogate"},
		{"deep", with(`"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)), "body", "depth"},
		{"deep and open", strings.Repeat(`{"a":`, 100_000), "body", "depth"},
		{"twice", with(`"cid":"` + cidV1 + `"`), "body", `"cid" twice`},
		{"twice by escapes", with(`"\u0063id":"` + cidV1 + `"`), "body", `"cid" twice`},
		{"no cid", `{"name":"n"}`, "cid", "required"},
		{"cid in another case", `{"CID":"` + cidV0 + `"}`, "cid", "required"},
		{"cid null", `{"cid":null}`, "cid", "required"},
		{"cid number", `{"cid":1}`, "cid", "must be a string"},
		{"cid object", `{"cid":{"/":"` + cidV0 + `"}}`, "cid", "must be a string"},
		{"cid empty", pinBody(""), "cid", "not a CID"},
		{"cid path", pinBody("/ipfs/" + cidV0), "cid", "not a CID"},
		{"cid with space", pinBody(" " + cidV1), "cid", "not a CID"},
		{"cid cut", pinBody(cidV1[:30]), "cid", "not a CID"},
		{"cid v0 cut", pinBody(cidV0[:45]), "cid", "not a CID"},
		{"cid of bytes", pinBody(`\u0000\u0001\u0055\u0000\u0001a`), "cid", "base that is text"},
		{"cid long", pinBody("z" + strings.Repeat("2", maxBody/2)), "cid", "too long"},
		{"codec car", pinBody(carCID), "cid", "codec, car, is not supported: use dag-pb, raw, dag-cbor, dag-json, dag-jose, git-raw, cbor or json"},
		{"codec libp2p-key", pinBody(cidOf(cid.Libp2pKey, multihash.SHA2_256, 32)), "cid", "an IPNS name or a peer ID"},
		{"codec unknown", pinBody(cidOf(0x3e7777, multihash.SHA2_256, 32)), "cid", "is not supported"},
		{"hash murmur3", pinBody(murmurCID), "cid", "hash function, murmur3-x64-64, is not supported"},
		{"hash md5", pinBody(cidOf(cid.Raw, multihash.MD5, 16)), "cid", "hash function, md5, is not"},
		{"hash short", pinBody(cidOf(cid.Raw, multihash.SHA2_256, 19)), "cid", "digest too small"},
		{"hash long", pinBody(cidOf(cid.Raw, multihash.BLAKE3, 129)), "cid", "digest too large"},
		{"identity long", pinBody(cidOf(cid.Raw, multihash.IDENTITY, 129)), "cid", "digest too large"},
		{"name number", with(`"name":7`), "name", "must be a string"},
		{"name long", with(`"name":"` + strings.Repeat("x", 256) + `"`), "name", "256 characters"},
		{"origins string", with(`"origins":"` + origin + `"`), "origins", "list of strings"},
		{"origins object", with(`"origins":{"0":"` + origin + `"}`), "origins", "list of strings"},
		{"origins list of lists", with(`"origins":[[]]`), "origins", "list of strings"},
		{"origins number", with(`"origins":0`), "origins", "list of strings"},
		{"meta list of an object", with(`"meta":[{}]`), "meta", "must be a JSON object"},
		{"origins of numbers", with(`"origins":[1]`), "origins", "list of strings"},
		{"origins of null", with(`"origins":[null]`), "origins", "list of strings"},
		{"origins with a number", with(`"origins":["` + origin + `",1]`), "origins", "list of strings"},
		{"origins with null", with(`"origins":["x",null]`), "origins", "list of strings"},
		{"meta list", with(`"meta":["k","v"]`), "meta", "must be a JSON object"},
		{"meta string", with(`"meta":"{}"`), "meta", "must be a JSON object"},
		{"meta number value", with(`"meta":{"k":1}`), "meta", `the value of "k" must be a string`},
		{"meta null value", with(`"meta":{"k":null}`), "meta", `the value of "k" must be a string`},
		{"meta object value", with(`"meta":{"k":{"a":"b"}}`), "meta", `the value of "k" must be a string`},
		{"meta twice", with(`"meta":{"k":"a","k":"b"}`), "meta", `"k" twice`},
		{"meta large", with(`"meta":{"k":"` + strings.Repeat("v", 16<<10) + `"}`), "meta", "16385 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseSpec([]byte(tt.body), netip.Addr{})
			wantInvalid(t, err, tt.field, tt.msg)
		})
	}
}

// wantInvalid checks for a short InvalidError of the field.
func wantInvalid(t *testing.T, err error, field, msg string) {
	t.Helper()
	var bad *pin.InvalidError
	if !errors.As(err, &bad) {
		t.Fatalf("got %v, want an InvalidError", err)
	}
	if bad.Field != field || !strings.Contains(bad.Msg, msg) {
		t.Errorf("got %q, want field %s and %q", bad, field, msg)
	}
	if len(bad.Error()) > 3<<10 {
		t.Errorf("%d bytes of details", len(bad.Error()))
	}
}

func TestSpecTakesTheMost(t *testing.T) {
	for name, rest := range map[string]string{
		"name":    `"name":"` + strings.Repeat("😀", 255) + `"`,
		"meta":    `"meta":{"k":"` + strings.Repeat("v", 16<<10-1) + `"}`,
		"origins": `"origins":[` + strings.Repeat(`"`+origin+`",`, 19) + `"` + delegate + `"]`,
		"deep":    `"x":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000),
		"escapes": `"name":"\\ud800 \\\\\ud83d\ude00 \uFFFD \"\/"`,
	} {
		if _, err := parseSpec([]byte(`{"cid":"`+cidV0+`",`+rest+`}`), netip.Addr{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Addresses of every kind that a Kubo sends.
func TestSpecTakesOrigins(t *testing.T) {
	const id = "/p2p/12D3KooWGjMCwmf2JqsSg8JRLLoRNvTUfJkS8SYzN4jvTLNGHrWn"
	for _, o := range []string{
		"/ip4/203.0.113.1/tcp/4001" + id,
		"/ip6/2001:db8::1/udp/4001/quic-v1" + id,
		"/ip4/203.0.113.1/udp/4001/quic-v1/webtransport/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ" + id,
		"/dns4/node.example.com/tcp/443/tls/ws" + id,
		"/dnsaddr/bootstrap.example.com" + id,
		origin + "/p2p-circuit" + id,
		"/ip4/203.0.113.1/tcp/4001/ipfs/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
		id,
	} {
		list, err := parseOrigins([]byte(`["`+o+`"]`), netip.Addr{})
		info := pin.InfoOf(pin.Request{Spec: pin.Spec{Origins: list}})
		if err != nil || !slices.Equal(list, []string{o}) || len(info) != 0 {
			t.Errorf("%s: got %q, %v; info %q", o, list, err, info)
		}
	}
}

// Origins are hints: neither too many nor unreadable ones are an error, and the answer has
// at most as many as the spec allows, all of them given.
func TestSpecTakesAnyOrigins(t *testing.T) {
	const id = "/p2p/12D3KooWGjMCwmf2JqsSg8JRLLoRNvTUfJkS8SYzN4jvTLNGHrWn"
	for _, n := range []int{20, 21, 54, 10_000} {
		given := []string{"x", "/ip4/127.0.0.1/udp/1/quic-v9" + id}
		for i := range n {
			given = append(given, fmt.Sprintf("/ip4/127.0.0.1/tcp/%d%s", i+1, id))
		}
		body, err := json.Marshal(Pin{CID: cidV0, Origins: given})
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseSpec(body, netip.Addr{})
		if err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		sent := NewPinStatus(pin.View{Request: pin.Request{Spec: s}}, nil).Pin.Origins
		if !slices.Equal(sent, given[2:22]) {
			t.Errorf("of %d the answer has %q", n, sent)
		}
	}
	same := strings.Repeat(`"`+origin+`",`, 20) + `"` + origin + `"`
	if list, err := parseOrigins([]byte("["+same+"]"), netip.Addr{}); err != nil || !slices.Equal(list, []string{origin}) {
		t.Errorf("of 21 that are the same: %q, %v", list, err)
	}
}

func FuzzSpec(f *testing.F) {
	f.Add([]byte(pinBody(cidV0)))
	f.Add([]byte(pinBody("Kİ://x/ipfs/" + cidV0 + "/a")))
	f.Add([]byte(pinBody("a.ipns.b.c/?x#")))
	f.Add([]byte(`{"cid":"` + cidV1 + `","name":"\ud83d\ude00","origins":["` + origin + `"],"meta":{"a":"b"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := parseSpec(body, netip.Addr{})
		if err != nil {
			var bad *pin.InvalidError
			if !errors.As(err, &bad) {
				t.Fatalf("error %T: %v", err, err)
			}
			return
		}
		// What was taken is within the bounds, and comes back as it was written.
		answer := NewPinStatus(pin.View{Request: pin.Request{Spec: s}}, nil).Pin
		if len(answer.Origins) > pin.MaxOrigins {
			t.Fatalf("it has %d origins", len(answer.Origins))
		}
		sent, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseSpec(sent, netip.Addr{})
		if err != nil || again.CID != s.CID || !again.Root.Equals(s.Root) || again.Name != s.Name ||
			!slices.Equal(again.Origins, answer.Origins) || !maps.Equal(again.Meta, s.Meta) {
			t.Fatalf("%+v came back as %+v, %v", s, again, err)
		}
	})
}
