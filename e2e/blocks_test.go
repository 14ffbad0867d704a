package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// verdict is what becomes of a pin.
type verdict string

const (
	yes   verdict = "pinned"
	no    verdict = "failed"  // or refused at once
	waits verdict = "pinning" // for a block that nobody has
)

// oddBlock is a block whose bytes two programs may judge differently.
type oddBlock struct {
	name, codec, hash string // hash "" is sha2-256
	data              string
	kubo, ours        verdict
	blocks            int    // of which its DAG is made here, if it is pinned
	why               string // for the difference, if there is one
}

// cborLink is a link in dag-cbor.
func cborLink(t *testing.T, c string) string {
	t.Helper()
	b := append([]byte{0}, must(cid.Decode(c))(t).Bytes()...)
	return cborHead(6, 42) + cborBytes(b)
}

func cborHead(major byte, n int) string {
	switch {
	case n < 24:
		return string([]byte{major<<5 | byte(n)})
	case n < 256:
		return string([]byte{major<<5 | 24, byte(n)})
	}
	return string(binary.BigEndian.AppendUint32([]byte{major<<5 | 26}, uint32(n)))
}

func cborBytes(b []byte) string { return cborHead(2, len(b)) + string(b) }
func cborText(s string) string  { return cborHead(3, len(s)) + s }

func gitObject(kind, body string) string { return fmt.Sprintf("%s %d\x00%s", kind, len(body), body) }

// TestBlocksAsInKubo has the same blocks judged by Kubo, which has them, and by
// Holdfast, which gets them from this Kubo. Where the two differ is meant, for the reason that stands
// beside it; docs/codecs.md has the same for users.
func TestBlocksAsInKubo(t *testing.T) {
	t.Parallel()
	k := startKubo(t, "kubo")
	s := serve(t, newData(t))
	c := login(t, s)
	connect(t, k, s)
	ctx := within(t, 120*patience)
	put := func(codec, hash, data string) string {
		t.Helper()
		return must(k.PutBlockHashed(ctx, codec, hash, []byte(data)))(t)
	}
	leaf := put("raw", "sha2-256", "leaf")
	link := cborLink(t, leaf)
	signed := put("dag-cbor", "sha2-256", "\x81"+link)
	under := func(codec uint64) string {
		return cid.NewCidV1(codec, must(cid.Decode(leaf))(t).Hash()).String()
	}
	payload := cborText("payload") + cborBytes(must(cid.Decode(signed))(t).Bytes())
	sum := func(c string) string { return string(must(cid.Decode(c))(t).Hash()[2:]) }
	name := func(c string) string { return hex.EncodeToString([]byte(sum(c))) }
	file := put("git-raw", "sha1", gitObject("blob", "hello"))
	tree := put("git-raw", "sha1", gitObject("tree", "100644 file\x00"+sum(file)))
	people := "author A <a@b.c> 1 +0000\ncommitter A <a@b.c> 1 +0000\n"
	first := put("git-raw", "sha1", gitObject("commit", "tree "+name(tree)+"\n"+people+"\nfirst"))
	large := func(n int) string { return string(rig.RandomBytes(uint64(n), n)) }

	cases := []oddBlock{
		{name: "a link", data: "\xa1al" + link, kubo: yes, ours: yes, blocks: 2},
		{name: "unsorted keys", data: "\xa2ab\x01aa" + link, kubo: yes, ours: yes, blocks: 2},
		{name: "short floats, undefined, a date", data: "\x85\xf9\x3c\x00\xfa\x3f\x80\x00\x00\xf7\xc0\x61x" + link, kubo: yes, ours: yes, blocks: 2},
		{name: "text that is not UTF-8", data: "\x82\x61\xff" + link, kubo: yes, ours: yes, blocks: 2},
		{name: "tag 42 on text", data: "\x82\xd8\x2a\x61x" + link, kubo: yes, ours: yes, blocks: 2},
		{name: "a number in two bytes", data: "\xa2aa\x18\x01al" + link, kubo: no, ours: yes, blocks: 2, why: "it was written, and its links are clear"},
		{name: "a length of 9 bytes", data: "\x9b\x00\x00\x00\x00\x00\x00\x00\x01" + link, kubo: no, ours: yes, blocks: 2, why: "as above"},
		{name: "NaN", data: "\x82\xf9\x7e\x00" + link, kubo: no, ours: yes, blocks: 2, why: "as above"},
		{name: "Infinity", data: "\x82\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00" + link, kubo: no, ours: yes, blocks: 2, why: "as above"},
		{name: "a key twice", data: "\xa2aa\x01aa" + link, kubo: no, ours: yes, blocks: 2, why: "as above"},
		{name: "a list without a length", data: "\x9f" + link + "\xff", kubo: no, ours: yes, blocks: 2, why: "as above"},
		{name: "a bignum", data: "\x82\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00" + link, kubo: no, ours: yes, blocks: 2, why: "as above"},
		{name: "keys that are numbers", data: "\xa1\x01" + link, kubo: no, ours: yes, blocks: 2, why: "as above"},
		{name: "below -2^63", data: "\x82\x3b\xff\xff\xff\xff\xff\xff\xff\xfe" + link, kubo: no, ours: yes, blocks: 2, why: "as above"},
		{name: "1,100 levels", data: strings.Repeat("\x81", 1100) + link, kubo: no, ours: yes, blocks: 2, why: "as above"},
		{name: "very many numbers", data: cborHead(4, 1_800_001) + strings.Repeat("\x01", 1_800_000) + link, kubo: no, ours: yes, blocks: 2, why: "as above"},
		{name: "a byte after the end", data: "\x81" + link + "\x00", kubo: no, ours: no},
		{name: "cut off", data: "\x82" + link, kubo: no, ours: no},
		{name: "no bytes", data: "", kubo: no, ours: no},
		{name: "a link that is no CID", data: "\xd8\x2a\x42\x00\x01", kubo: no, ours: no},
		{name: "a link to a CAR", data: "\x82" + link + cborLink(t, under(0x202)), kubo: no, ours: no},
		{name: "a link to a key", data: "\x82" + link + cborLink(t, under(0x72)), kubo: no, ours: no},
		{name: "a link to codec 0", data: "\x82" + link + cborLink(t, under(0)), kubo: no, ours: no},

		{name: "JWS", codec: "dag-jose", data: "\xa2" + payload + cborText("signatures") + "\x81\xa1" + cborText("signature") + cborBytes([]byte("s")), kubo: yes, ours: yes, blocks: 3},
		{name: "JWS with true in a header", codec: "dag-jose", data: "\xa2" + payload + cborText("signatures") + "\x81\xa2" + cborText("header") + "\xa1aa\xf5" + cborText("signature") + cborBytes([]byte("s")), kubo: no, ours: yes, blocks: 3, why: "JavaScript writes it"},
		{name: "JWE", codec: "dag-jose", data: "\xa1" + cborText("ciphertext") + cborBytes([]byte("c")), kubo: yes, ours: yes, blocks: 1},
		{name: "JWS about text", codec: "dag-jose", data: "\xa1" + cborText("payload") + cborBytes([]byte("text")), kubo: no, ours: no},
		{name: "neither JWS nor JWE", codec: "dag-jose", data: "\xa1aa\x01", kubo: no, ours: no},

		{name: "blob", codec: "git-raw", hash: "sha1", data: gitObject("blob", "hello"), kubo: yes, ours: yes, blocks: 1},
		{name: "tree", codec: "git-raw", hash: "sha1", data: gitObject("tree", "100644 file\x00"+sum(file)), kubo: yes, ours: yes, blocks: 2},
		{name: "commit", codec: "git-raw", hash: "sha1", data: gitObject("commit", "tree "+name(tree)+"\nparent "+name(first)+"\n"+people+"\nsecond"), kubo: yes, ours: yes, blocks: 4},
		{name: "tag", codec: "git-raw", hash: "sha1", data: gitObject("tag", "object "+name(first)+"\ntype commit\ntag v1\ntagger A <a@b.c> 1 +0000\n\nv1"), kubo: yes, ours: yes, blocks: 4},
		{name: "merged tag", codec: "git-raw", hash: "sha1", data: gitObject("commit", "tree "+name(tree)+"\n"+people+"mergetag object "+name(first)+"\n type commit\n tag v1\n tagger A <a@b.c> 1 +0000\n \n v1\n\nmerge"), kubo: yes, ours: yes, blocks: 4},
		{name: "submodule", codec: "git-raw", hash: "sha1", data: gitObject("tree", "160000 module\x00"+strings.Repeat("x", 20)), kubo: no, ours: waits},
		{name: "commit signed by SSH", codec: "git-raw", hash: "sha1", data: gitObject("commit", "tree "+name(tree)+"\n"+people+"gpgsig -----BEGIN SSH SIGNATURE-----\n U1NI\n -----END SSH SIGNATURE-----\n\nsigned"), kubo: no, ours: yes, blocks: 3, why: "Git writes it"},
		{name: "tree cut off", codec: "git-raw", hash: "sha1", data: "tree 6\x00100644", kubo: yes, ours: no, why: "an entry is lost"},
		{name: "blob cut off", codec: "git-raw", hash: "sha1", data: "blob 9\x00hello", kubo: no, ours: no},
		{name: "no object of Git", codec: "git-raw", hash: "sha1", data: "note 1\x00x", kubo: no, ours: no},

		{name: "a map", codec: "cbor", data: "\xa1aa\x01", kubo: yes, ours: yes, blocks: 1},
		{name: "a link", codec: "cbor", data: "\x81" + link, kubo: no, ours: no},
		{name: "a map", codec: "json", data: `{"a":1}`, kubo: yes, ours: yes, blocks: 1},
		{name: "what is a link in dag-json", codec: "json", data: `{"/":"` + leaf + `"}`, kubo: yes, ours: yes, blocks: 1},
		{name: "a key twice", codec: "json", data: `{"a":1,"a":2}`, kubo: no, ours: yes, blocks: 1, why: "it has no links whatever it says"},
		{name: "no JSON", codec: "json", data: `{"a":`, kubo: no, ours: no},

		{name: "canonical", codec: "dag-json", data: `{"a":1}`, kubo: yes, ours: yes, blocks: 1},
		{name: "a line's end", codec: "dag-json", data: "{\"a\":2}\n", kubo: yes, ours: yes, blocks: 1},
		{name: "spaces, unsorted", codec: "dag-json", data: `{ "b": 1, "a": 1e2 }`, kubo: yes, ours: yes, blocks: 1},
		{name: "a link", codec: "dag-json", data: `{"l":{"/":"` + leaf + `"}}`, kubo: yes, ours: yes, blocks: 2},
		{name: "key / with a map", codec: "dag-json", data: `{"/":{"a":1}}`, kubo: yes, ours: yes, blocks: 1},
		{name: "key / beside others", codec: "dag-json", data: `{"/":"x","a":1}`, kubo: yes, ours: yes, blocks: 1},
		{name: "bytes", codec: "dag-json", data: `{"/":{"bytes":"AQ"}}`, kubo: yes, ours: yes, blocks: 1},
		{name: "text", codec: "dag-json", data: `"x"`, kubo: yes, ours: yes, blocks: 1},
		{name: "empty", codec: "dag-json", data: `{}`, kubo: yes, ours: yes, blocks: 1},
		{name: "above 2^64", codec: "dag-json", data: `{"a":18446744073709551616}`, kubo: no, ours: no},
		{name: "above 2^63", codec: "dag-json", data: `{"a":9223372036854775808}`, kubo: no, ours: no},
		{name: "key / with no CID", codec: "dag-json", data: `{"/":"x"}`, kubo: no, ours: no},
		{name: "a key twice", codec: "dag-json", data: `{"a":1,"a":2}`, kubo: no, ours: yes, blocks: 1, why: "all its links are followed, whatever the keys"},
		{name: "more after the end", codec: "dag-json", data: `{"a":1}x`, kubo: no, ours: no},
		{name: "NaN", codec: "dag-json", data: `{"a":NaN}`, kubo: no, ours: no},
		{name: "BOM", codec: "dag-json", data: "\xef\xbb\xbf{}", kubo: no, ours: no},

		{name: "no node", codec: "dag-pb", data: "\xff\xff", kubo: no, ours: no},
		{name: "2 MiB and more", codec: "raw", data: large(2<<20 + 1), kubo: yes, ours: yes, blocks: 1},
		{name: "the largest that is sent", codec: "raw", data: large(4_194_264), kubo: yes, ours: yes, blocks: 1},
		{name: "4 MiB", codec: "raw", data: large(4 << 20), kubo: yes, ours: no, why: "no message takes it, so Kubo has it for itself alone"},
		{name: "6 MiB", codec: "raw", data: large(6 << 20), kubo: yes, ours: no, why: "as above"},
	}
	for _, hash := range []string{"sha1", "sha2-512", "dbl-sha2-256", "sha3-256", "keccak-256", "blake2b-256", "blake2s-256", "blake3", "shake-256"} {
		cases = append(cases, oddBlock{name: hash, codec: "raw", hash: hash, data: "hashed by " + hash, kubo: yes, ours: yes, blocks: 1})
	}

	type pin struct {
		oddBlock
		id   string
		last rig.PinStatus
		err  error // it was refused at once
	}
	var pins []*pin
	for _, b := range cases {
		if b.codec == "" {
			b.codec = "dag-cbor"
		}
		if b.hash == "" {
			b.hash = "sha2-256"
		}
		b.name = b.codec + ", " + b.name
		root := put(b.codec, b.hash, b.data)
		got := yes
		some, cancel := context.WithTimeout(ctx, 3*patience) // it waits for what nobody has
		err := k.Pin(some, root)
		cancel()
		if err != nil {
			got = no
		}
		if got != b.kubo {
			t.Errorf("%s: in Kubo it is %s: %v", b.name, got, err)
		}
		if (b.why != "") != (b.kubo != b.ours && b.ours != waits) {
			t.Errorf("%s: Kubo and Holdfast differ without a reason, or have one and do not", b.name)
		}
		p := &pin{oddBlock: b}
		made, err := c.Add(ctx, rig.Pin{CID: root})
		if p.id = made.RequestID; err != nil {
			p.err = asStatus(t, err)
		}
		pins = append(pins, p)
	}
	// All that is to end has ended when only those are left that wait.
	err := rig.Poll(ctx, 20*time.Millisecond, func() (bool, error) {
		open := 0
		for _, p := range pins {
			if p.err != nil || p.last.Status == string(yes) || p.last.Status == string(no) {
				continue
			}
			var err error
			if p.last, err = c.Get(ctx, p.id); err != nil {
				return false, err
			}
			if p.last.Status != string(p.ours) {
				open++
			}
		}
		return open == 0, nil
	})
	for _, p := range pins {
		if p.last.Status == string(waits) && p.ours == waits && err == nil {
			continue
		}
		got := verdict(p.last.Status)
		if p.err != nil {
			got = no
		}
		switch details := p.last.Info["status_details"]; {
		case got != p.ours:
			t.Errorf("%s: it is %s, want %s: %v, %s", p.name, got, p.ours, p.err, details)
		case got == yes && number(t, p.last.Info, "blocks") != p.blocks:
			t.Errorf("%s: it has %s blocks, want %d", p.name, p.last.Info["blocks"], p.blocks)
		case got == no && p.err == nil && !strings.Contains(details, p.last.Pin.CID):
			t.Errorf("%s: %q does not name the block", p.name, details)
		case strings.HasSuffix(p.name, "4 MiB") && !strings.Contains(details, "has 4194304 bytes"),
			strings.HasSuffix(p.name, "6 MiB") && !strings.Contains(details, "has 6291456 bytes"):
			t.Errorf("%s: %q does not say how large it is", p.name, details)
		}
	}
	check(t, err)
	// What is odd is given back as it is.
	i := slices.IndexFunc(pins, func(p *pin) bool { return strings.HasSuffix(p.name, "keys that are numbers") })
	odd := pins[i]
	reader := startKubo(t, "reader")
	connect(t, reader, s)
	var got []byte
	err = rig.Poll(ctx, 100*time.Millisecond, func() (bool, error) {
		if err := reader.RPC(ctx, "block/stat", map[string][]string{"arg": {odd.last.Pin.CID}}, nil); err != nil {
			return false, err
		}
		var err error
		got, err = reader.Block(ctx, odd.last.Pin.CID)
		return err == nil, err
	})
	check(t, err)
	if !bytes.Equal(got, []byte(odd.data)) {
		t.Errorf("it came back as %x", got)
	}
}
