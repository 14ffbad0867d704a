package e2e

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"strings"
)

// part is one of a form, as Kubo's clients send them.
type part struct {
	name, kind string // kind is the media type
	content    string
	params     string // of the field's name: mode and mtime
}

func filePart(name, content string) part { return part{name, "application/octet-stream", content, ""} }
func dirPart(name string) part           { return part{name, "application/x-directory", "", ""} }

// form makes the body of an upload.
func form(parts ...part) func() (contentType string, body []byte) {
	return func() (string, []byte) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		if err := w.SetBoundary("between-the-parts"); err != nil {
			panic(err)
		}
		for _, p := range parts {
			h := textproto.MIMEHeader{}
			h.Set("Content-Disposition", fmt.Sprintf(`form-data; name="file%s"; filename="%s"`, p.params, url.QueryEscape(p.name)))
			h.Set("Content-Type", p.kind)
			if _, err := must1(w.CreatePart(h)).Write([]byte(p.content)); err != nil {
				panic(err)
			}
		}
		if err := w.Close(); err != nil {
			panic(err)
		}
		return w.FormDataContentType(), b.Bytes()
	}
}

// uploadCalls lists calls that upload, with every parameter and error that they have. car is a
// CAR of what is in no server yet, and cut is one that was cut.
func uploadCalls(car, cut string) []rpcCall {
	var calls []rpcCall
	send := func(differs, command string, parts []part, queries ...string) {
		for _, q := range queries {
			calls = append(calls, rpcCall{command: command, query: q, differs: differs, body: form(parts...)})
		}
	}
	file := []part{filePart("a", strings.Repeat("content ", 1000))}
	tree := []part{
		dirPart("d"), filePart("d/a", "1"), dirPart("d/sub"), filePart("d/sub/b & c", "2"), dirPart("d/empty"),
		{"d/link", "application/symlink", "a", ""}, filePart("e", "3"),
	}
	dressed := []part{{"a", "application/octet-stream", "x", "?mode=0640&mtime=1700000000&mtime-nsecs=5"}}

	send("", "add", file, "", "cid-version=1", "progress=true", "quiet=true", "quieter=true", "only-hash=true", "pin-name=named", "raw-leaves=true",
		"chunker=size-1000", "chunker=buzhash", "chunker=rabin-512-1024-2048", "trickle=true", "hash=blake3", "hash=sha2-512", "inline=true&cid-version=1&chunker=size-20",
		"max-file-links=2&chunker=size-1000", "cid-base=base58btc&cid-version=1", "upgrade-cidv0-in-output=true", "mode=0600", "mtime=1000", "mtime=1000&mtime-nsecs=5", "silent=true",
		"fast-provide-root=true&fast-provide-dag=false&fast-provide-wait=false&nocopy=false", "stream-channels=true&encoding=json&recursive=true&hidden=true")
	send("order", "add", tree, "", "cid-version=1", "wrap-with-directory=true", "progress=true&wrap-with-directory=true&cid-version=1", "only-hash=true",
		"max-directory-links=2&cid-version=1", "max-directory-links=2&max-hamt-fanout=8&cid-version=1", "preserve-mode=true", "preserve-mtime=true")
	send("", "add", tree, "empty-dirs=false")
	send("", "add", dressed, "preserve-mode=true", "preserve-mtime=true&cid-version=1", "preserve-mode=true&preserve-mtime=true", "")
	send("status", "add", file, "hash=nonsense", "raw-leaves=true&preserve-mode=true", "inline=true&inline-limit=1000", "hash=sha2-512&cid-version=0", "mtime-nsecs=5")
	send("status message", "add", file, "cid-version=2", "chunker=nonsense", "chunker=size-0", "chunker=size-99999999", "pin-name="+strings.Repeat("x", 256))
	send("error-object message", "add", file, "cid-version=x", "trickle=maybe")
	send("unknown-parameter", "add", file, "nonsense=1")
	send("value", "add", file, "pin=false", "fast-provide-dag=true")
	calls = append(calls, rpcCall{command: "add", differs: "error-object message"})

	cars := []part{filePart("x.car", car)}
	send("", "dag/import", cars, "", "stats=true", "silent=true", "allow-big-block=true", "cid-base=base58btc")
	send("value", "dag/import", cars, "pin-roots=false", "local-only=true")
	send("unknown-parameter", "dag/import", cars, "nonsense=1")
	// The header of a CAR without roots, and no block.
	send("unpinned", "dag/import", []part{filePart("x.car", "\x11\xa2eroots\x80gversion\x01")}, "")
	send("status message", "dag/import", []part{filePart("x.car", cut)}, "")
	send("status message", "dag/import", []part{filePart("x.car", "nonsense")}, "")
	calls = append(calls, rpcCall{command: "dag/import", differs: "error-object message"})

	raw := []part{filePart("x", "some bytes")}
	send("", "block/put", raw, "pin=true", "pin=true&mhtype=sha2-512", "pin=true&mhtype=blake3&mhlen=32", "pin=true&cid-base=base58btc",
		"pin=true&allow-big-block=true", "pin=true&cid-codec=raw&mhtype=sha2-256&mhlen=-1", "pin=true&format=raw")
	send("", "block/put", []part{filePart("x", `{"a":1}`)}, "pin=true&cid-codec=dag-json")
	send("undecodable", "block/put", raw, "pin=true&cid-codec=dag-json")
	// Kubo has pinned it.
	calls = append(calls, rpcCall{command: "pin/rm", query: "arg=baguqeeraburm3taq43ietw7bv5ishviiop67ygsplayg4wglmja35fdsafgq", differs: "undecodable"})
	send("unpinned", "block/put", raw, "", "pin=false")
	send("status", "block/put", raw, "pin=true&mhtype=nonsense", "pin=true&format=raw&cid-codec=dag-pb")
	send("status message", "block/put", raw, "pin=true&cid-codec=nonsense")
	send("unknown-parameter", "block/put", raw, "pin=true&nonsense=1")
	calls = append(calls, rpcCall{command: "block/put", query: "pin=true", differs: "error-object message"})
	text := []part{filePart("x", `{"a":{"b":[1,"two",{"/":{"bytes":"AQID"}}]},"n":null}`)}
	send("", "dag/put", text, "pin=true", "pin=true&store-codec=dag-json", "pin=true&store-codec=dag-cbor&input-codec=dag-json&hash=sha2-512", "pin=true&store-codec=json&input-codec=json")
	send("unpinned", "dag/put", text, "")
	send("status message", "dag/put", text, "pin=true&store-codec=nonsense", "pin=true&input-codec=nonsense", "pin=true&hash=nonsense")
	send("undecodable", "dag/put", []part{filePart("x", "{")}, "pin=true")
	send("status", "dag/put", []part{filePart("x", "{]")}, "pin=true")
	calls = append(calls, rpcCall{command: "dag/put", query: "pin=true", differs: "error-object message"})

	calls = append(calls, rpcCall{command: "pin/ls", query: "type=recursive&names=true", differs: "name-stays"})
	// After this list, as Kubo pins the block all the same.
	send("status", "block/put", []part{filePart("x", strings.Repeat("x", 3<<20))}, "pin=true")
	return calls
}
