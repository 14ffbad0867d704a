package rpc

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/ipld/go-car/v2"
)

// Where a symlink leads is in memory as a whole, so it has a limit. What files have, and what is behind
// the blocks of a CAR, has none.
func TestSymlinkThatIsTooLong(t *testing.T) {
	long := strings.Repeat("x", 2*maxBetween)
	link := part{name: "l", kind: aSymlink, content: long}
	for name, test := range map[string]struct {
		command string
		parts   []part
	}{
		"alone":              {"add", []part{link}},
		"behind a file":      {"add", []part{{name: "f", kind: aFile, content: long}, link}},
		"in a directory":     {"add", []part{{name: "d", kind: aDir}, {name: "d/f", kind: aFile, content: long}, {name: "d/l", kind: aSymlink, content: long}}},
		"two levels down":    {"add", []part{{name: "d/e/l", kind: aSymlink, content: long}}},
		"instead of a block": {"block/put", []part{link}},
		"instead of a CAR":   {"dag/import", []part{link}},
		"of a directory":     {"add", []part{{name: "d", kind: aDir, content: long}, {name: "d/f", kind: aFile}}},
	} {
		w := newWorld(t)
		w.pinAll()
		a := w.sendParts("alice", test.command, "pin=true", test.parts...)
		if test.command == "dag/import" {
			a = w.sendParts("alice", test.command, "", test.parts...)
		}
		if a.status != http.StatusBadRequest || !strings.Contains(string(a.body), "between two files") {
			// What came before it may be pinned, and told.
			if behind := a.trailer.Get(headerStreamError); !strings.Contains(behind, "between two files") {
				t.Errorf("%s it is answered %d %.300s, and behind that %.300q", name, a.status, a.body, behind)
			}
		}
		if w.live != 0 {
			t.Errorf("%s: %d uploads are open", name, w.live)
		}
	}
	w := newWorld(t)
	w.pinAll()
	short := part{name: "d/l", kind: aSymlink, content: long[:maxBetween/4]}
	if a := w.sendParts("alice", "add", "", short, part{name: "d/f", kind: aFile, content: long}, part{name: "d/m", kind: aSymlink, content: "f"}); a.status != http.StatusOK {
		t.Errorf("symlinks beside a large file are answered %d %s", a.status, a.body)
	}
}

// The index of a CARv2 may have any size, and another CAR may follow.
func TestDagImportWithALargeIndex(t *testing.T) {
	from, w := newWorld(t), newWorld(t)
	w.pinAll()
	one, two := from.file([]byte("one")), from.file([]byte("two"))
	inner := from.carOf([]cid.Cid{one.Cid()}, one.Cid())
	var v2 bytes.Buffer
	v2.Write(car.Pragma)
	h := car.Header{DataOffset: car.PragmaSize + car.HeaderSize, DataSize: uint64(len(inner.content))}
	h.IndexOffset = h.DataOffset + h.DataSize
	if _, err := h.WriteTo(&v2); err != nil {
		t.Fatal(err)
	}
	v2.WriteString(inner.content)
	v2.Write(binary.AppendUvarint(nil, 0x0400))
	v2.Write(make([]byte, 3*maxBetween))
	indexed := part{name: "x.car", kind: aFile, content: v2.String()}
	roots, _ := imported(t, w.sendParts("alice", "dag/import", "", indexed, from.carOf([]cid.Cid{two.Cid()}, two.Cid())))
	if want := []importedRoot{{Cid: one.Cid()}, {Cid: two.Cid()}}; !slices.Equal(roots, want) {
		t.Errorf("roots are %v, want %v", roots, want)
	}
}
