package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-car/v2"
	"github.com/ipld/go-car/v2/storage"
	"github.com/multiformats/go-multihash"
	"github.com/multiformats/go-varint"
)

// aFileOf gives the blocks of a file, in no particular order, and its root.
func aFileOf(t testing.TB, size int) (root cid.Cid, all []blocks.Block) {
	t.Helper()
	s := newMemory(t)
	root, err := addTo(t, s, Flags{Chunker: "size-1000"}, "", Events{}, file(size))
	if err != nil {
		t.Fatal(err)
	}
	for c, data := range s.blocks {
		b, err := blocks.NewBlockWithCid(data, c)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return root, all
}

// carOf makes a CARv1.
func carOf(t testing.TB, roots []cid.Cid, all ...blocks.Block) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := storage.NewWritable(&buf, roots, car.WriteAsCarV1(true))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Finalize(); err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		section := append(b.Cid().Bytes(), b.RawData()...)
		buf.Write(varint.ToUvarint(uint64(len(section))))
		buf.Write(section)
	}
	return buf.Bytes()
}

// v2Of wraps a CARv1, with something behind it where an index would be.
func v2Of(t testing.TB, v1 []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	buf.Write(car.Pragma)
	h := car.NewHeader(uint64(len(v1))).WithDataPadding(7).WithIndexPadding(3)
	if _, err := h.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	buf.Write(make([]byte, 7))
	buf.Write(v1)
	buf.WriteString("   no index that anybody reads")
	return buf.Bytes()
}

func importTo(t *testing.T, s Sink, b []byte) (Imported, error) {
	t.Helper()
	return ImportCAR(t.Context(), s, bytes.NewReader(b), false)
}

func TestImportCAR(t *testing.T) {
	root, all := aFileOf(t, 5000)
	other, more := aFileOf(t, 2500)
	identity := identityOf("hello")
	inline, err := blocks.NewBlockWithCid([]byte("hello"), identity)
	if err != nil {
		t.Fatal(err)
	}
	sections := append(slices.Concat(all, more), all[0], inline)
	size := uint64(0)
	for _, b := range sections {
		size += uint64(len(b.RawData()))
	}
	v1 := carOf(t, []cid.Cid{root, other, root, identity}, sections...)
	for name, b := range map[string][]byte{"v1": v1, "v2": v2Of(t, v1)} {
		s := newMemory(t)
		in, err := importTo(t, s, b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := (Imported{Roots: []cid.Cid{root, other, identity}, Blocks: uint64(len(sections)), Bytes: size}); fmt.Sprint(in) != fmt.Sprint(want) {
			t.Errorf("%s has %v, want %v", name, in, want)
		}
		for _, b := range sections {
			if !bytes.Equal(s.blocks[b.Cid()], b.RawData()) {
				t.Errorf("%s: block %s was not put", name, b.Cid())
			}
		}
	}
	if in, err := importTo(t, newMemory(t), carOf(t, nil)); err != nil || len(in.Roots) != 0 {
		t.Errorf("a CAR without anything is %v, %v", in, err)
	}
}

func identityOf(s string) cid.Cid {
	h, err := multihash.Sum([]byte(s), multihash.IDENTITY, -1)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(cid.Raw, h)
}

// A CAR that is cut off is told apart from a whole one wherever it is cut, but for the ends of
// its blocks, where a CARv1 looks whole.
func TestCutCAR(t *testing.T) {
	root, all := aFileOf(t, 2500)
	header := carOf(t, []cid.Cid{root})
	whole := map[int]bool{len(header): true}
	v1 := header
	for i := range all {
		v1 = carOf(t, []cid.Cid{root}, all[:i+1]...)
		whole[len(v1)] = true
	}
	for n := range len(v1) {
		_, err := importTo(t, newMemory(t), v1[:n])
		if whole[n] != (err == nil) || err != nil && !isCut(err) {
			t.Fatalf("of %d bytes, of which %d blocks end there: %v", n, len(whole), err)
		}
	}
	v2 := v2Of(t, v1)
	end := bytes.Index(v2, v1) + len(v1)
	for n := range end {
		if _, err := importTo(t, newMemory(t), v2[:n]); err == nil || !isCut(err) {
			t.Fatalf("the first %d bytes of a CARv2 whose blocks end at %d: %v", n, end, err)
		}
	}
	if _, err := importTo(t, newMemory(t), v2[:end]); err != nil {
		t.Errorf("a CARv2 without its index: %v", err)
	}
}

func isCut(err error) bool {
	return errors.As(err, new(*InvalidError)) && strings.Contains(err.Error(), "cut off")
}

// What lies, or is too large, is refused with words, and names where it is.
func TestCARThatIsRefused(t *testing.T) {
	root, all := aFileOf(t, 1500)
	lying, err := blocks.NewBlockWithCid([]byte("something else"), all[1].Cid())
	if err != nil {
		t.Fatal(err)
	}
	big := blocks.NewBlock(make([]byte, SoftBlockLimit+1))
	var manyRoots []cid.Cid
	for i := range MaxRoots + 1 {
		manyRoots = append(manyRoots, blocks.NewBlock(fmt.Append(nil, i)).Cid())
	}
	good := carOf(t, []cid.Cid{root}, all[0])
	for text, b := range map[string][]byte{
		"import failed after block \"" + all[0].Cid().String() + "\": mismatch in content integrity": carOf(t, []cid.Cid{root}, all[0], lying),
		"import failed at block \"" + big.Cid().String() + "\": produced block is over 2MiB":         carOf(t, []cid.Cid{root}, big),
		"beyond allowable maximum": append(bytes.Clone(good), varint.ToUvarint(1<<40)...),
		"import failed after":      append(bytes.Clone(good), 0),
		"1001 roots":               carOf(t, manyRoots),
		"the header of the CAR":    []byte("no CAR at all"),
		"invalid car version":      append([]byte{17}, []byte("\xa2eroots\x80gversion\x07")...),
	} {
		if _, err := importTo(t, newMemory(t), b); !errors.As(err, new(*InvalidError)) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	if _, err := ImportCAR(t.Context(), newMemory(t), bytes.NewReader(carOf(t, []cid.Cid{root}, big)), true); err != nil {
		t.Errorf("a big block that is allowed: %v", err)
	}
}

// Errors of the sink, of reading and of the context come back as what they are.
func TestErrorsOfImport(t *testing.T) {
	root, all := aFileOf(t, 1500)
	b := carOf(t, []cid.Cid{root}, all...)
	boom := errors.New("boom")
	s := newMemory(t)
	s.fail = boom
	if _, err := importTo(t, s, b); !errors.Is(err, boom) {
		t.Errorf("the sink's error comes as %v", err)
	}
	for n := range len(b) {
		r := io.MultiReader(bytes.NewReader(b[:n]), iotest{})
		if _, err := ImportCAR(t.Context(), newMemory(t), r, false); !errors.As(err, new(*ReadError)) {
			t.Fatalf("an error of reading after %d bytes comes as %v", n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ImportCAR(ctx, newMemory(t), bytes.NewReader(b), false); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// No bytes make an import panic, or believe a block whose hash is wrong.
func FuzzImportCAR(f *testing.F) {
	t := testing.TB(f)
	root, all := aFileOf(t, 1500)
	v1 := carOf(t, []cid.Cid{root}, all...)
	f.Add(v1)
	f.Add(v2Of(t, v1))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ImportCAR(t.Context(), newMemory(t), bytes.NewReader(b), false)
	})
}
