package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-car/v2"
	"github.com/ipld/go-car/v2/storage"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/kuborpc"
	"github.com/holdfast-ipfs/holdfast/moving"
)

// A source that gives the CAR of something else gets nothing pinned, and the import goes on with
// the other pins.
func TestUploadOfAnotherRoot(t *testing.T) {
	sum := func(codec uint64, data string) cid.Cid {
		t.Helper()
		h, err := multihash.Sum([]byte(data), multihash.SHA2_256, -1)
		if err != nil {
			t.Fatal(err)
		}
		return cid.NewCidV1(codec, h)
	}
	carOf := func(data string, roots ...cid.Cid) []byte {
		t.Helper()
		var out bytes.Buffer
		w, err := storage.NewWritable(&out, roots, car.WriteAsCarV1(true))
		if err != nil {
			t.Fatal(err)
		}
		b := blocks.NewBlock([]byte(data))
		if err := w.Put(t.Context(), cid.NewCidV1(cid.Raw, b.Cid().Hash()).KeyString(), b.RawData()); err != nil {
			t.Fatal(err)
		}
		if err := w.Finalize(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	x, y, asNode := sum(cid.Raw, "x"), sum(cid.Raw, "y"), sum(cid.DagProtobuf, "x")
	huge := append([]byte{0x80, 0x80, 0x80, 0x80, 0x01}, make([]byte, 2*maxCARHead)...) // a header of 256 MiB
	for _, c := range []struct {
		name    string
		pin     cid.Cid
		car     []byte
		status  int // of the refusal; 0 is none
		uploads bool
	}{
		{"the same", x, carOf("x", x), 0, true},
		{"the same in another version", cid.NewCidV0(x.Hash()), carOf("x", asNode), 0, true},
		{"another", x, carOf("y", y), http.StatusUnprocessableEntity, false},
		{"another codec", asNode, carOf("x", x), http.StatusUnprocessableEntity, false},
		{"another beside it", x, carOf("x", x, y), http.StatusUnprocessableEntity, false},
		{"no roots", x, carOf("x"), http.StatusUnprocessableEntity, false},
		{"no CAR", x, []byte("x"), 0, false},
		{"a header without end", x, huge, 0, false},
	} {
		var came []byte
		fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			form, err := r.MultipartReader()
			if err != nil {
				t.Error(err)
				return
			}
			part, err := form.NextPart()
			if err != nil {
				t.Error(err)
				return
			}
			if came, err = io.ReadAll(part); err != nil {
				t.Error(err)
			}
			io.WriteString(w, `{"Root":{"Cid":{"/":"`+c.pin.String()+`"}}}`+"\n")
		}))
		k, err := kuborpc.New(fake.URL, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		source := bytes.NewReader(c.car)
		err = (&localTarget{rpc: k}).Upload(t.Context(), moving.Pin{CID: c.pin.String()}, false, struct{ io.Reader }{source})
		fake.Close()
		refused, _ := errors.AsType[*moving.AnswerError](err)
		switch {
		case (err == nil) != c.uploads || (came != nil) != c.uploads || c.uploads && !bytes.Equal(came, c.car):
			t.Errorf("%s: %d bytes came, %v", c.name, len(came), err)
		case c.status != 0 && (refused == nil || refused.Status != c.status):
			t.Errorf("%s: the error is %v", c.name, err)
		case c.status == 0 && refused != nil:
			t.Errorf("%s: it is refused: %v", c.name, err)
		case len(c.car)-source.Len() > maxCARHead:
			t.Errorf("%s: %d bytes were read", c.name, len(c.car)-source.Len())
		}
	}
}
