package pin_test

import (
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// A CID's text with a character inserted or removed is not that CID, in any base.
func TestParseCIDPassesNothingOver(t *testing.T) {
	const v1 = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
	want := cid.MustParse(v1)
	for name, base := range multibase.Encodings {
		if base == multibase.Identity {
			continue
		}
		text, err := want.StringOfBase(base)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := pin.ParseCID(text); err != nil || !got.Equals(want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		for place := range len(text) + 1 {
			for char := range 256 {
				changed := text[:place] + string([]byte{byte(char)}) + text[place:]
				if got, err := pin.ParseCID(changed); err == nil && got.Equals(want) {
					t.Fatalf("%s: %q at %d is passed over", name, []byte{byte(char)}, place)
				}
			}
		}
	}
}

func TestParseCIDSaysWhatIsWrong(t *testing.T) {
	const v1 = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
	for text, want := range map[string]string{
		v1 + "\n":                          "line break",
		v1 + "\r\n":                        "line break",
		"\n" + v1:                          "line break",
		v1[:20] + "\r\n" + v1[20:]:         "line break",
		v1[:1] + "\n" + v1[1:]:             "line break",
		v1 + " ":                           "illegal base32",
		" " + v1:                           "not supported",
		v1 + "\x00":                        "illegal base32",
		v1 + "\xff":                        "illegal base32",
		"Qm\n" + v1:                        "line break",
		v1[:len(v1)-1] + "z":               "want " + v1,
		"\x00" + string(cid.Undef.Bytes()): "base that is text",
		"":                                 "too short",
	} {
		if _, err := pin.ParseCID(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
