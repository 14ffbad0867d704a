package rpc

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// The CIDs are those of Kubo 0.43.
func TestBlockPut(t *testing.T) {
	for query, want := range map[string]string{
		"":                         "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am",
		"cid-codec=dag-pb":         "",
		"mhtype=sha2-512":          "bafkrgqhhyivzstcz3hhswshfjgy6ertgmnqeleynhwt4dlfsthi4hn7zgh4uvlsb5xncykzapi3ocd4lzogukir6ksdy6wzrnz6ohnv4aglcs",
		"mhtype=sha2-256&mhlen=20": "bafkrefcysg23kiwv34eg2d7qweipxwosdo2py4i",
		"format=raw":               "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am",
		"cid-codec=0x55&upgrade-cidv0-in-output=true": "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am",
	} {
		w := newWorld(t)
		w.pinAll()
		a := w.sendParts("alice", "block/put", "pin=true&"+query, part{name: "h", kind: aFile, content: "hello\n"})
		var e struct {
			Key  string
			Size int
		}
		if want == "" { // it is no dag-pb, which a pin has to be
			if a.status != http.StatusBadRequest {
				t.Errorf("block/put?%s is answered %d %s", query, a.status, a.body)
			}
			continue
		}
		if err := json.Unmarshal(a.body, &e); err != nil || e.Key != want || e.Size != 6 {
			t.Errorf("block/put?%s is answered %d %s, %v; want %s", query, a.status, a.body, err, want)
		}
		if pins := w.names("alice"); len(pins) != 1 || pins[0] != want+" " {
			t.Errorf("pinned %q", pins)
		}
	}
	// Version 0, and several at once.
	w := newWorld(t)
	w.pinAll()
	empty := "\x0a\x02\x08\x01" // a directory
	a := w.sendParts("alice", "block/put", "pin=true&format=v0", part{name: "a", kind: aFile, content: empty}, part{name: "b", kind: aFile, content: empty})
	if want := `{"Key":"QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn","Size":4}` + "\n"; string(a.body) != want+want {
		t.Errorf("two blocks are answered %d %s", a.status, a.body)
	}
}

func TestDagPut(t *testing.T) {
	w := newWorld(t)
	w.pinAll()
	put := func(query, content string) answer {
		t.Helper()
		return w.sendParts("alice", "dag/put", "pin=true&"+query, part{name: "n", kind: aFile, content: content})
	}
	for query, want := range map[string]string{
		"":                     "bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae",
		"store-codec=dag-json": "baguqeerasords4njcts6vs7qvdjfcvgnume4hqohf65zsfguprqphs3icwea",
		"hash=sha2-512":        "bafyrgqhai26anf3i7pips7q22coa4sz2fr4gk4q4sqdtymvvjyginfzaqewveaeqdh524nsktaq43j65v22xxrybrtertmcfxufdam3da3hbk",
	} {
		var e struct{ Cid cid.Cid }
		a := put(query, `{"hello":"world"}`)
		if err := json.Unmarshal(a.body, &e); err != nil || e.Cid.String() != want {
			t.Errorf("dag/put?%s is answered %d %s, %v; want %s", query, a.status, a.body, err, want)
		}
	}
	// What looks like a link in plain JSON is none, and bytes may be long.
	long := strings.Repeat("A", 2000)
	for query, content := range map[string]string{"input-codec=json": `{"/":"` + long + `"}`, "": `{"/":{"bytes":"` + long + `"}}`} {
		if a := put(query, content); a.status != http.StatusOK {
			t.Errorf("dag/put?%s of a long text is answered %d %s", query, a.status, a.body)
		}
	}
	// A node that links to what is not here cannot be pinned.
	if a := put("", `{"x":{"/":"`+helloCID+`"}}`); a.status != http.StatusBadRequest || !strings.Contains(string(a.body), "not found locally") {
		t.Errorf("a link to nothing is answered %d %s", a.status, a.body)
	}
}

func TestPutThatIsRefused(t *testing.T) {
	big := strings.Repeat("x", 2<<20+1)
	many := "[" + strings.Repeat("1,", maxTokens) + "1]"
	for _, test := range []struct{ command, query, content, part string }{
		{"block/put", "", "x", `must be \"true\": an account keeps`},
		{"dag/put", "pin=false", "{}", `must be \"true\": an account keeps`},
		{"block/put", "pin=true", big, "over 2MiB"},
		{"block/put", "pin=true&allow-big-block=true", big + strings.Repeat("x", 7<<20), "more than 8388608 bytes"},
		{"block/put", "pin=true&mhtype=md6", "x", "unrecognized multihash"},
		{"block/put", "pin=true&mhtype=md5", "x", "not supported"},
		{"block/put", "pin=true&cid-codec=what", "x", "cid-codec"},
		{"block/put", "pin=true&cid-codec=libp2p-key", "x", "codec that is not supported"},
		{"block/put", "pin=true&cid-codec=dag-pb&format=v0", "x", "at the same time"},
		{"block/put", "pin=true&format=v0&mhtype=sha2-512", "x", "CIDv0 only"},
		{"block/put", "pin=true&mhlen=3", "x", ""},
		{"dag/put", "pin=true", "{", ""},
		{"dag/put", "pin=true&input-codec=what", "{}", "input-codec"},
		{"dag/put", "pin=true&store-codec=git-raw", "{}", "store-codec"},
		{"dag/put", "pin=true&store-codec=dag-pb", "{}", ""},
		{"dag/put", "pin=true", `{"/":"k` + strings.Repeat("a", 1500) + `"}`, "too long to be a CID"},
		{"dag/put", "pin=true", many, "more than 262144 tokens"},
		{"dag/put", "pin=true&input-codec=json", many, "more than 262144 tokens"},
	} {
		w := newWorld(t)
		w.pinAll()
		a := w.sendParts("alice", test.command, test.query, part{name: "x", kind: aFile, content: test.content})
		if a.status != http.StatusBadRequest || !strings.Contains(string(a.body), test.part) {
			t.Errorf("%s?%s is answered %d %s, want %q", test.command, test.query, a.status, a.body, test.part)
		}
		if pins := w.names("alice"); len(pins) != 0 || w.live != 0 {
			t.Errorf("pinned %q, and %d uploads are open", pins, w.live)
		}
	}
	w := newWorld(t)
	w.onPut = func(int) error { return pin.ErrDiskFull }
	if a := w.sendParts("alice", "block/put", "pin=true", part{name: "x", kind: aFile, content: "x"}); a.status != http.StatusInsufficientStorage {
		t.Errorf("a full disk is answered %d %s", a.status, a.body)
	}
	contentType, body := form()
	if a := w.send("alice", "block/put", "pin=true", contentType, io.Reader(bytes.NewReader(body))); a.status != http.StatusBadRequest {
		t.Errorf("no file is answered %d %s", a.status, a.body)
	}
}
