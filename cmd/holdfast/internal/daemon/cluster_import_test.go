package daemon

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cluster"
	"github.com/holdfast-ipfs/holdfast/cluster/clustertest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Each account that had pinned a CID gets its own request for it, and nobody's is lost.
func TestImportOfSharedPins(t *testing.T) {
	c := clustertest.New(t, 3)
	lost := frontOver(t, c, testDataDir(t))
	alice, bob := account(t, lost, "alice@example.org"), account(t, lost, "bob@example.org")
	spec, cid := specOf("shared")
	c.Serve(cid, clustertest.Content{Blocks: 3, Bytes: 300, All: true})
	v, err := lost.pins.Add(t.Context(), alice.ID, spec)
	if err != nil {
		t.Fatal(err)
	}
	awaitPin(t, lost, v, pin.Pinned)
	if _, err := lost.pins.Add(t.Context(), bob.ID, spec); err != nil {
		t.Fatal(err)
	}
	if _, err := lost.cluster.Check(t.Context(), true, func(cluster.Difference) {}); err != nil { // it writes the second request
		t.Fatal(err)
	}
	instance := lost.core.front
	if err := lost.Close(); err != nil {
		t.Fatal(err)
	}

	p := frontOver(t, c, testDataDir(t))
	anna, ben := account(t, p, "anna@example.org"), account(t, p, "ben@example.org")
	in := admin.ClusterImport{From: instance, Accounts: map[string]string{alice.ID: anna.Email}}
	_, err = clusterService{p}.Import(t.Context(), in, func(admin.StoreProgress) {})
	if refused, ok := errors.AsType[*admin.StatusError](err); !ok || refused.Status != http.StatusConflict || !strings.Contains(err.Error(), bob.ID) {
		t.Errorf("without an account for bob: %v", err)
	}
	if heirs, err := readList(t.Context(), p.core.store.Datastore(), heirsKey); err != nil || len(heirs) != 0 {
		t.Errorf("what is refused leaves %v, %v", heirs, err)
	}

	in.Accounts[bob.ID] = ben.Email
	steps := 0
	done, err := clusterService{p}.Import(t.Context(), in, func(admin.StoreProgress) {
		if steps++; steps == 1 {
			return
		}
		// Meanwhile the first request has taken those of the lost server out of the pinset.
		for deadline := time.Now().Add(20 * time.Second); c.Get(cid).Metadata["holdfast-requests-"+instance] != ""; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the first request is not made")
			}
		}
	})
	if err != nil || steps != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	for _, a := range []auth.Account{anna, ben} {
		page, err := p.pins.List(t.Context(), a.ID, pin.Query{Limit: 10, Statuses: pin.Statuses()})
		if err != nil || page.Count != 1 {
			t.Errorf("%s has %d pins, %v", a.Email, page.Count, err)
		}
	}
}

// An import that is done again before the cluster has heard of the first makes nothing twice.
func TestImportTwice(t *testing.T) {
	c := clustertest.New(t, 3)
	lost := frontOver(t, c, testDataDir(t))
	alice := account(t, lost, "alice@example.org")
	for _, name := range []string{"", "one"} {
		spec, cid := specOf("one")
		spec.Name = name
		c.Serve(cid, clustertest.Content{Blocks: 3, Bytes: 300, All: true})
		v, err := lost.pins.Add(t.Context(), alice.ID, spec)
		if err != nil {
			t.Fatal(err)
		}
		awaitPin(t, lost, v, pin.Pinned)
	}
	instance := lost.core.front
	if err := lost.Close(); err != nil {
		t.Fatal(err)
	}

	p := frontOver(t, c, testDataDir(t))
	anna := account(t, p, "anna@example.org")
	newer, _ := specOf("newer") // so that what is imported gets other IDs
	if _, err := p.pins.Add(t.Context(), anna.ID, newer); err != nil {
		t.Fatal(err)
	}
	c.Hold()
	defer c.Commit()
	count := 0
	for i := range 2 {
		if _, err := (clusterService{p}).Import(t.Context(), admin.ClusterImport{From: instance, Rest: anna.Email}, func(admin.StoreProgress) {}); err != nil {
			t.Fatal(err)
		}
		page, err := p.pins.List(t.Context(), anna.ID, pin.Query{Limit: 10, Statuses: pin.Statuses()})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			count = page.Count
		}
		if page.Count < 2 || page.Count != count {
			t.Errorf("after import %d there are %d pins, after the first %d", i+1, page.Count, count)
		}
	}
}
