package links

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/ipld/go-ipld-prime/node/basicnode"
	"github.com/ipld/go-ipld-prime/traversal"
	"github.com/multiformats/go-multicodec"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
)

// cborLink is a link as dag-cbor has it.
func cborLink(c cid.Cid) string {
	b := append([]byte{0}, c.Bytes()...)
	return string([]byte{0xd8, tagLink, 0x58, byte(len(b))}) + string(b)
}

// Blocks that JavaScript or older versions of Go wrote are read for their links.
func TestLenientCBOR(t *testing.T) {
	one, two := dagtest.Raw("one").Cid(), dagtest.Raw("two").Cid()
	v0 := cid.NewCidV0(dagtest.PB("").Cid().Hash())
	l1, l2 := cborLink(one), cborLink(two)
	pieces := "\xd8\x2a\x5f\x41\x00\x58\x24" + string(one.Bytes()) + "\xff"
	for name, c := range map[string]struct {
		data string
		want []cid.Cid
	}{
		"canonical":                      {"\xa2aa\x01al" + l1, []cid.Cid{one}},
		"CIDv0":                          {"\x81\xd8\x2a\x58\x23\x00" + string(v0.Bytes()), []cid.Cid{v0}},
		"a link alone":                   {l1, []cid.Cid{one}},
		"number in two bytes":            {"\xa2aa\x18\x01al" + l1, []cid.Cid{one}},
		"tag in three bytes":             {"\x81\xd9\x00\x2a" + l1[2:], []cid.Cid{one}},
		"list length of 9 bytes":         {"\x9b\x00\x00\x00\x00\x00\x00\x00\x01" + l1, []cid.Cid{one}},
		"CID length of 5 bytes":          {"\xd8\x2a\x5a\x00\x00\x00\x25\x00" + string(one.Bytes()), []cid.Cid{one}},
		"NaN and Infinity":               {"\x84\xf9\x7e\x00\xf9\x7c\x00\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00" + l1, []cid.Cid{one}},
		"duplicate keys":                 {"\xa2aa" + l1 + "aa" + l2, []cid.Cid{one, two}},
		"list without a length":          {"\x9f" + l1 + l2 + "\xff", []cid.Cid{one, two}},
		"map without a length":           {"\xbfaa" + l1 + "ab\x9f" + l2 + "\xff\xff", []cid.Cid{one, two}},
		"empty ones without":             {"\x83\x9f\xff\xbf\xff" + l1, []cid.Cid{one}},
		"text in pieces":                 {"\x82\x7faaab\xff" + l1, []cid.Cid{one}},
		"link in pieces":                 {"\x82" + pieces + l2, []cid.Cid{one, two}},
		"bignum":                         {"\x82\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00" + l1, []cid.Cid{one}},
		"below -2^63":                    {"\x82\x3b\xff\xff\xff\xff\xff\xff\xff\xff" + l1, []cid.Cid{one}},
		"above 2^63":                     {"\x82\x1b\xff\xff\xff\xff\xff\xff\xff\xff" + l1, []cid.Cid{one}},
		"keys that are numbers":          {"\xa2\x01" + l1 + "\x20" + l2, []cid.Cid{one, two}},
		"keys that are lists":            {"\xa1\x81\x01" + l1, []cid.Cid{one}},
		"undefined and other values":     {"\x85\xf7\xf6\xe0\xf8\x20" + l1, []cid.Cid{one}},
		"tags in one another":            {"\x82\xc1\xc2\x41\x01\xc1" + l1, []cid.Cid{one}},
		"tag 42 on what is not bytes":    {"\x83\xd8\x2a\x61x\xd8\x2a\x81" + l1 + "\xd8\x2a\x01", []cid.Cid{one}},
		"text that is not UTF-8":         {"\x82\x61\xff" + l1, []cid.Cid{one}},
		"half and single floats, a date": {"\x84\xf9\x3c\x00\xfa\x3f\x80\x00\x00\xc0\x61x" + l1, []cid.Cid{one}},
		"a link in bytes is none":        {"\x81\x58\x27" + l1[:2] + "\x58\x24" + string(one.Bytes())[1:], nil},
	} {
		got, err := Of(under(multicodec.DagCbor), []byte(c.data))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// What is broken is refused, with the CID and the place.
func TestBrokenCBOR(t *testing.T) {
	leaf := dagtest.Raw("leaf").Cid()
	l := cborLink(leaf)
	for name, c := range map[string]struct{ data, says string }{
		"nothing":                      {"", "at byte 0: it is cut off"},
		"text cut off":                 {"\x81\x65abc", "at byte 5: it is cut off"},
		"length cut off":               {"\x81\x19\x01", "at byte 3: it is cut off"},
		"list cut off":                 {"\x82" + l, "it is cut off"},
		"map cut off":                  {"\xa2aa\x01", "it is cut off"},
		"list of very many":            {"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "at byte 9: it is cut off"},
		"map of very many":             {"\xbb\x80\x00\x00\x00\x00\x00\x00\x00", "at byte 9: it is cut off"},
		"text of very many":            {"\x7b\xff\xff\xff\xff\xff\xff\xff\xff", "at byte 9: it is cut off"},
		"many lists of many":           {strings.Repeat("\x9a\x00\x10\x00\x00", 1000), "it is cut off"},
		"list without an end":          {"\x9f\x01", "it is cut off"},
		"text without an end":          {"\x7faa", "it is cut off"},
		"tag on nothing":               {"\xc1", "it is cut off"},
		"link cut off":                 {l[:20], "at byte 20: it is cut off"},
		"link of no bytes":             {"\xd8\x2a\x40", "at byte 2: a link is no CID"},
		"link without a prefix":        {"\xd8\x2a\x58\x24" + string(leaf.Bytes()), "a link is no CID in bytes"},
		"link to something else":       {"\x81\xd8\x2a\x44\x00abc", "at byte 3: a link is no CID"},
		"link with more":               {"\xd8\x2a\x58\x26\x00" + string(leaf.Bytes()) + "x", "a link is no CID"},
		"more after the end":           {"\xa0\x01", "at byte 1: 1 bytes follow after the end"},
		"break in a list":              {"\x82\x01\xff", "at byte 2: a break, and nothing to end"},
		"break alone":                  {"\xff", "a break, and nothing to end"},
		"map that ends after a key":    {"\xbfaa\xff", "at byte 3: a map ends after a key"},
		"reserved head":                {"\x1c", "at byte 0: 0x1c begins nothing"},
		"number without an end":        {"\x1f", "0x1f begins nothing"},
		"value in too many bytes":      {"\xf8\x14", "0xf814 is no value"},
		"other pieces":                 {"\x7f\x41a\xff", "at byte 1: 0x41 is no piece"},
		"pieces of pieces":             {"\x7f\x7f\xff\xff", "at byte 1: 0x7f is no piece"},
		"too many without a length":    {strings.Repeat("\x9f", maxOpen+1), fmt.Sprintf("at byte %d: more than %d", maxOpen, maxOpen)},
		"dag-pb":                       {string(dagtest.PBBytes("", leaf)), "follow after the end"},
		"a byte of a raw block, twice": {"\x01\x02", "at byte 1"},
	} {
		err := ofErr(under(multicodec.DagCbor), []byte(c.data))
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), under(multicodec.DagCbor).String()) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// A list of very many small numbers takes no more memory than its links.
func TestManyNumbers(t *testing.T) {
	const many = 1_747_627
	leaf := dagtest.Raw("leaf").Cid()
	data := append(binary.BigEndian.AppendUint32([]byte{0x9a}, many+1), bytes.Repeat([]byte{1}, many)...)
	data = append(data, cborLink(leaf)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := Of(under(multicodec.DagCbor), data)
	runtime.ReadMemStats(&after)
	if err != nil || !slices.Equal(got, []cid.Cid{leaf}) {
		t.Errorf("%v, %v", got, err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 64<<10 {
		t.Errorf("it took %d bytes of memory", took)
	}
}

// primeLinks gives the links that go-ipld-prime finds, in whose order that of a block is.
func primeLinks(data []byte) ([]cid.Cid, error) {
	nb := basicnode.Prototype.Any.NewBuilder()
	if err := dagcbor.Decode(nb, bytes.NewReader(data)); err != nil {
		return nil, err
	}
	found, err := traversal.SelectLinks(nb.Build())
	var out []cid.Cid
	for _, l := range found {
		out = append(out, l.(cidlink.Link).Cid)
	}
	return out, err
}

// What go-ipld-prime decodes has the links here that it has there, and no input takes more
// memory than a small multiple of its size.
func FuzzCBOR(f *testing.F) {
	leaf := dagtest.Raw("leaf").Cid()
	for _, seed := range []string{
		string(dagtest.CBOR("name", leaf, dagtest.Identity(cid.Raw, []byte("x"))).RawData()),
		"\xa2aa" + cborLink(leaf) + "ab\x83\xf7\xf9\x3c\x00\xc0\x61x", "\x82\xd8\x2a\x61x\xd8\x2a\x81\x01",
		"\x9f" + cborLink(leaf) + "\xff", "\xbfaa\x7faaab\xff\xff", "\x82\x3b\xff\xff\xff\xff\xff\xff\xff\xff\x18\x01",
		"\xd8\x2a\x5f\x41\x00\x41\x01\xff", "\x9a\xff\xff\xff\xff", "\xa1\x01\x02",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := fromCBOR(data)
		want, primeErr := primeLinks(data)
		if primeErr == nil && (err != nil || !slices.Equal(got, want)) {
			t.Fatalf("%v, %v; go-ipld-prime has %v", got, err, want)
		}
		if len(got) > len(data) {
			t.Fatalf("%d links in %d bytes", len(got), len(data))
		}
	})
}

// canonical is a block of dag-cbor of the kind that applications write.
func canonical(links int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	out := []byte{0xa2, 0x61, 'n', 0x99, byte(links >> 8), byte(links)}
	for range links {
		out = append(out, 0x83, 0x19, byte(rng.IntN(128)+128), 1, 0x64, 't', 'e', 'x', 't', 0xfb, 1, 2, 3, 4, 5, 6, 7, 8)
	}
	out = append(out, 0x61, 'z', 0x99, byte(links>>8), byte(links))
	for i := range links {
		out = append(out, cborLink(dagtest.Raw(fmt.Sprint(i)).Cid())...)
	}
	return out
}

func BenchmarkCBOR(b *testing.B) {
	data := canonical(4000)
	for name, read := range map[string]func([]byte) ([]cid.Cid, error){"scanner": fromCBOR, "go-ipld-prime": primeLinks} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if ls, err := read(data); err != nil || len(ls) != 4000 {
					b.Fatal(len(ls), err)
				}
			}
		})
	}
}
