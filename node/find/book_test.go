package find

import (
	"errors"
	"testing"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/failstore"
	"github.com/libp2p/go-libp2p/core/peer"
)

func TestBookKeepsPeers(t *testing.T) {
	ds, at := datastore.NewMapDatastore(), datastore.NewKey("/peers")
	b := NewBook(ds, at)
	if p, err := b.Load(t.Context()); err != nil || len(p.Routing)+len(p.Recent) > 0 {
		t.Fatalf("a new book has %v, %v", p, err)
	}
	want := Peers{Routing: []peer.AddrInfo{who(1, addrA, addrB), who(2, addrB)}, Recent: []peer.AddrInfo{who(3, addrA)}}
	if err := b.Save(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, err := NewBook(ds, at).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, got.Routing, want.Routing...)
	same(t, got.Recent, want.Recent...)

	if err := ds.Put(t.Context(), at, []byte("{")); err != nil {
		t.Fatal(err)
	}
	if p, err := b.Load(t.Context()); err == nil || len(p.Routing) > 0 {
		t.Errorf("what cannot be read gives %v, %v", p, err)
	}
	if err := b.Save(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Load(t.Context()); err != nil {
		t.Errorf("saving does not mend it: %v", err)
	}
}

func TestBookTellsErrors(t *testing.T) {
	broken := errors.New("broken")
	b := NewBook(failstore.NewFailstore(datastore.NewMapDatastore(), func(string) error { return broken }), datastore.NewKey("/peers"))
	if _, err := b.Load(t.Context()); !errors.Is(err, broken) {
		t.Errorf("load gives %v", err)
	}
	if err := b.Save(t.Context(), Peers{}); !errors.Is(err, broken) {
		t.Errorf("save gives %v", err)
	}
}

func TestRecents(t *testing.T) {
	r := NewRecents(3)
	for _, ai := range []peer.AddrInfo{
		who(1, addrA), who(2, addrA), who(3), who(1, addrB), who(4, addrA), who(2), who(5, addrA),
	} {
		r.Note(ai)
	}
	same(t, r.List(), who(5, addrA), who(2, addrA), who(4, addrA))
	list := r.List()
	list[0] = who(9)
	same(t, r.List(), who(5, addrA), who(2, addrA), who(4, addrA))
}
