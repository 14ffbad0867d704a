package links

import (
	"bytes"
	"errors"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multicodec"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// under is a CID whose codec is the one that a test reads bytes under.
func under(codec multicodec.Code) cid.Cid {
	return dagtest.Under(uint64(codec), dagtest.Raw("test"))
}

// The first link is fetched first, so that a file comes from its beginning.
func TestOrder(t *testing.T) {
	ls := dagtest.CIDs(dagtest.Leaves(5, 10))
	for _, b := range []blocks.Block{dagtest.PB("", ls...), dagtest.CBOR("", ls...), dagtest.JSON("", ls...)} {
		got, err := Of(b.Cid(), b.RawData())
		if err != nil || !slices.Equal(got, ls) {
			t.Errorf("%s: %v, %v", b.Cid(), got, err)
		}
	}
	if got, err := Of(ls[0], dagtest.PBBytes("", ls...)); err != nil || len(got) > 0 {
		t.Errorf("raw: %v, %v", got, err)
	}
}

// Blocks can be read under each of the codecs that are accepted, and a block of another
// is refused by its codec's name.
func TestCodecs(t *testing.T) {
	for _, codec := range pin.Codecs {
		_, err := Of(under(codec), []byte{0xff})
		if err != nil && !strings.Contains(err.Error(), "does not decode as "+codec.String()) {
			t.Errorf("%s: %v", codec, err)
		}
	}
	for _, codec := range []multicodec.Code{multicodec.Car, multicodec.FilCommitmentUnsealed, multicodec.Libp2pKey, multicodec.Cidv1, 0, 0x3e7777} {
		for _, err := range []error{Check(under(codec)), ofErr(under(codec), nil)} {
			var refused *pin.RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), codec.String()) || !strings.Contains(err.Error(), under(codec).String()) {
				t.Errorf("%s: %v", codec, err)
			}
		}
	}
}

func ofErr(c cid.Cid, data []byte) error {
	_, err := Of(c, data)
	return err
}

// What is nested is refused before it fills the stack or the memory, or read.
func TestDeep(t *testing.T) {
	const deep = 1 << 20
	for name, c := range map[string]struct {
		codec multicodec.Code
		data  []byte
		good  bool
	}{
		"dag-cbor with lengths":    {multicodec.DagCbor, append(bytes.Repeat([]byte{0x81}, deep), 0x80), true},
		"dag-cbor cut off":         {multicodec.DagCbor, bytes.Repeat([]byte{0x81}, deep), false},
		"dag-cbor without lengths": {multicodec.DagCbor, append(bytes.Repeat([]byte{0x9f}, deep), bytes.Repeat([]byte{0xff}, deep)...), false},
		"dag-cbor tags":            {multicodec.DagCbor, append(bytes.Repeat([]byte{0xc1}, deep), 0x80), true},
		"dag-json":                 {multicodec.DagJson, []byte(strings.Repeat("[", deep)), false},
		"json":                     {multicodec.Json, []byte(strings.Repeat("[", deep) + strings.Repeat("]", deep)), false},
	} {
		err := ofErr(under(c.codec), c.data)
		var refused *pin.RefusedError
		if c.good != (err == nil) || err != nil && !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The text of a link in dag-json is not decoded if it is longer than any CID that is accepted:
// that takes time quadratic in it. Other text may be as long.
func TestLongTextOfALink(t *testing.T) {
	long := dagtest.Identity(cid.Raw, make([]byte, 2000)).String() // which is a CID
	leaf := dagtest.Raw("leaf").Cid()
	for _, text := range []string{`{"/":"` + long + `"}`, `[{"x":{"/":"` + long + `"}}]`, `{"/":"k` + strings.Repeat("a", 1500) + `"}`} {
		got, err := Of(under(multicodec.DagJson), []byte(text))
		var refused *pin.RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "does not decode as dag-json: ") || !strings.Contains(err.Error(), "too long to be a CID") {
			t.Errorf("%.40s: %v, %v", text, got, err)
		}
	}
	text := `{"a":{"/":{"bytes":"` + strings.Repeat("A", 1<<20) + `"}},"b":"` + long + `","c":["/","` + long + `"],"d":{"/":"` + leaf.String() + `"}}`
	if got, err := Of(under(multicodec.DagJson), []byte(text)); err != nil || !slices.Equal(got, []cid.Cid{leaf}) {
		t.Errorf("long bytes and text: %v, %v", got, err)
	}
}

// What a block of JSON takes in memory is in proportion to its bytes, however many values it has.
func TestManyValues(t *testing.T) {
	const most = 12 // times the block, with what is garbage at once
	leaf := dagtest.Raw("leaf").Cid()
	values := strings.Repeat(`0,[],{"":""},`, 160<<10)
	dagJSON := []byte(`[` + values + `{"/":"` + leaf.String() + `"}]`)
	broken := []byte(`[` + values + `NaN`)
	for name, c := range map[string]struct {
		codec multicodec.Code
		data  []byte
		links int // -1 is that it is refused
	}{
		"dag-json": {multicodec.DagJson, dagJSON, 1}, "dag-json that breaks off": {multicodec.DagJson, broken, -1},
		"json": {multicodec.Json, dagJSON, 0}, "json that breaks off": {multicodec.Json, broken, -1},
	} {
		var before, after runtime.MemStats
		runtime.GC()
		gc := debug.SetGCPercent(-1)
		runtime.ReadMemStats(&before)
		got, err := Of(under(c.codec), c.data)
		runtime.ReadMemStats(&after)
		debug.SetGCPercent(gc)
		if (err != nil) != (c.links < 0) || err == nil && len(got) != c.links {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if took := after.HeapAlloc - before.HeapAlloc; took > most*uint64(len(c.data)) {
			t.Errorf("%s: a block of %d bytes took %d bytes of memory", name, len(c.data), took)
		}
	}
}

// JSON has no links, whatever it looks like, and is JSON.
func TestJSON(t *testing.T) {
	leaf := dagtest.Raw("leaf").Cid().String()
	for text, good := range map[string]bool{
		`{"a":1}`: true, " [1, 2]\n": true, `{"/":"` + leaf + `"}`: true, `{"a":1,"a":2}`: true, `123456789012345678901234567890`: true,
		``: false, `{"a":`: false, `NaN`: false, `{} {}`: false,
	} {
		got, err := Of(under(multicodec.Json), []byte(text))
		if good != (err == nil) || len(got) > 0 {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// Plain CBOR has no links: one that there is would be missed, and is refused.
func TestPlainCBOR(t *testing.T) {
	if got, err := Of(under(multicodec.Cbor), []byte{0xa1, 0x01, 0xc2, 0x41, 0x05}); err != nil || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
	b := dagtest.CBOR("", dagtest.Raw("leaf").Cid())
	if err := ofErr(under(multicodec.Cbor), b.RawData()); err == nil || !strings.Contains(err.Error(), "link") {
		t.Errorf("a link: %v", err)
	}
}

// Whatever a block holds, it is refused or it gives links that a walk can use.
func FuzzOf(f *testing.F) {
	leaf := dagtest.Raw("leaf").Cid()
	for codec, data := range map[multicodec.Code][]byte{
		multicodec.DagPb:   dagtest.PBBytes("data", leaf, dagtest.Identity(cid.Raw, []byte("x"))),
		multicodec.DagCbor: dagtest.CBOR("name", leaf).RawData(),
		multicodec.DagJson: dagtest.JSON("name", leaf).RawData(),
		multicodec.DagJose: dagtest.JWS(leaf).RawData(),
		multicodec.GitRaw:  gitObject("tag", "object "+gitName("x")+"\ntype commit\n\nhello"),
		multicodec.Cbor:    {0xa1, 0x61, 0x61, 0x01},
		multicodec.Json:    []byte(`{"a":1}`),
	} {
		f.Add(uint8(slices.Index(pin.Codecs, codec)), data)
	}
	f.Add(uint8(slices.Index(pin.Codecs, multicodec.GitRaw)), gitObject("tree", "160000 sub\x00"+strings.Repeat("x", gitHash)))
	f.Add(uint8(slices.Index(pin.Codecs, multicodec.GitRaw)), gitObject("commit", "tree "+gitName("x")+"\nmergetag object "+gitName("y")+"\n type commit\n\n"))
	f.Fuzz(func(t *testing.T, codec uint8, data []byte) {
		got, err := Of(under(pin.Codecs[int(codec)%len(pin.Codecs)]), data)
		var refused *pin.RefusedError
		if err != nil && !errors.As(err, &refused) {
			t.Fatalf("the error is not a refusal: %v", err)
		}
		for _, c := range got {
			if !c.Defined() {
				t.Fatal("a link to nothing")
			}
			if err := Check(c); err != nil && !errors.As(err, &refused) {
				t.Fatalf("the error is not a refusal: %v", err)
			}
		}
	})
}

// What a root says of its size is taken from its links, if all of them say so.
func TestClaimedSize(t *testing.T) {
	link := func(size string) []byte { // PBLink: Hash, Tsize
		c := dagtest.Raw("x").Cid().Bytes()
		b := append([]byte{0x0a, byte(len(c))}, c...)
		return append(append([]byte{0x12, byte(len(b) + len(size))}, b...), size...)
	}
	for what, c := range map[string]struct {
		codec multicodec.Code
		data  []byte
		want  uint64
	}{
		"raw":          {multicodec.Raw, []byte("abc"), 3},
		"no links":     {multicodec.DagPb, dagtest.PBBytes("abc"), 5},
		"one":          {multicodec.DagPb, link("\x18\x64"), 142},
		"one of two":   {multicodec.DagPb, append(link("\x18\x64"), link("")...), 0},
		"not a number": {multicodec.DagPb, []byte{0xff}, 0},
		"another":      {multicodec.DagCbor, []byte{0x80}, 0},
	} {
		if got := ClaimedSize(under(c.codec), c.data); got != c.want {
			t.Errorf("%s: %d, want %d", what, got, c.want)
		}
	}
}

// Kubo takes these hash functions, and so does Check, with digests of at least 20 bytes.
func TestHashes(t *testing.T) {
	for _, code := range []uint64{
		multihash.SHA1, multihash.SHA2_256, multihash.SHA2_512, multihash.DBL_SHA2_256, multihash.BLAKE3,
		multihash.SHA3_224, multihash.SHA3_512, multihash.KECCAK_256, multihash.SHAKE_256,
		multihash.BLAKE2B_MIN + 31, multihash.BLAKE2S_MIN + 31,
	} {
		if b := dagtest.Hashed(cid.Raw, code, []byte("x")); Check(b.Cid()) != nil {
			t.Errorf("%s: %v", multihash.Codes[code], Check(b.Cid()))
		}
	}
	for _, code := range []uint64{multihash.MD5, multihash.MURMUR3X64_64, multihash.BLAKE2B_MIN + 5} {
		if b := dagtest.Hashed(cid.Raw, code, []byte("x")); Check(b.Cid()) == nil {
			t.Errorf("%s is accepted", multihash.Codes[code])
		}
	}
}
