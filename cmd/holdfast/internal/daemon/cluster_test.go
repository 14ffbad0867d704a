package daemon

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cluster"
	"github.com/holdfast-ipfs/holdfast/cluster/clustertest"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// frontOver is a program whose pins a cluster keeps.
func frontOver(t *testing.T, c *clustertest.Cluster, d *datadir.Dir) *Program {
	t.Helper()
	p, _ := testProgram(t, d)
	p.Config.Cluster.Peers, p.Config.Cluster.Nodes = c.URLs(), c.NodeURLs()
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func account(t *testing.T, p *Program, email string) auth.Account {
	t.Helper()
	a, err := p.core.auth.AddAccount(t.Context(), auth.NewAccount{Email: email, Password: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// awaitPin waits until a pin has a status.
func awaitPin(t *testing.T, p *Program, v pin.View, want pin.Status) pin.View {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		v, err := p.pins.Get(t.Context(), v.Account, v.ID)
		if err != nil {
			t.Fatal(err)
		}
		if v.Status == want {
			return v
		}
		if time.Now().After(deadline) {
			t.Fatalf("the pin is %s, want %s: %v", v.Status, want, v.Info)
		}
	}
}

func specOf(text string) (pin.Spec, string) {
	c := dagtest.Raw(text).Cid()
	return pin.Spec{CID: c.String(), Root: c, Name: text}, c.String()
}

// socket is a client of the admin socket.
func socket(t *testing.T, p *Program) *admin.Client {
	t.Helper()
	c, ok := Dial(t.Context(), p.Data)
	if !ok {
		t.Fatal("nobody answers on the socket")
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A server whose pins a cluster keeps has accounts, pins and quotas, and no blocks.
func TestFront(t *testing.T) {
	c := clustertest.New(t, 3)
	d := testDataDir(t)
	p := frontOver(t, c, d)
	alice := account(t, p, "alice@example.org")
	spec, cid := specOf("one")
	v, err := p.pins.Add(t.Context(), alice.ID, spec)
	if err != nil {
		t.Fatal(err)
	}
	c.Serve(cid, clustertest.Content{Blocks: 7, Bytes: 700, All: true})
	v = awaitPin(t, p, v, pin.Pinned)
	if v.Totals.Blocks != 7 || v.Totals.Bytes != 700 || v.Info["copies"] == "" || v.Info["copies_wanted"] != "2-3" {
		t.Errorf("the pin has %+v: %v", v.Totals, v.Info)
	}
	spec.Meta = map[string]string{"replication": "7"}
	if _, err := p.pins.Add(t.Context(), alice.ID, spec); err == nil || !strings.Contains(err.Error(), "the cluster has 3 peers") {
		t.Errorf("7 copies of 3: %v", err)
	}

	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusOK} {
		if status, body := get(t, p.URL()+path); status != want {
			t.Errorf("%s answers %d: %s", path, status, body)
		}
	}
	text := scrape(t, p)
	for _, want := range []string{
		`holdfast_cluster_peer_up{peer="` + c.Peer(0).URL() + `"} 1`, "holdfast_cluster_dags_below 0", `holdfast_cluster_differences_total{kind="orphan"} 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}

	// What needs blocks says what to do.
	pair, err := p.core.auth.Login(t.Context(), alice.Email, "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]int{"cat?arg=" + cid: http.StatusNotImplemented, "dag/export?arg=" + cid: http.StatusNotImplemented, "add": http.StatusBadRequest, "pin/ls": http.StatusOK, "id": http.StatusOK} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL()+RPCPath+"/"+command, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+pair.Access)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s answers %d", command, answer.StatusCode)
		}
	}
	// No page of the dashboard breaks.
	if _, err := p.core.auth.SetAdmin(t.Context(), alice.ID, true); err != nil {
		t.Fatal(err)
	}
	if pair, err = p.core.auth.Login(t.Context(), alice.Email, "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/pins": http.StatusOK, "/pins/" + v.ID: http.StatusOK, "/add": http.StatusOK, "/account": http.StatusOK, "/server": http.StatusOK,
		"/store": http.StatusOK, "/accounts": http.StatusOK, "/pins/" + v.ID + "/files": http.StatusNotImplemented,
		"/pins/" + v.ID + "/file": http.StatusNotImplemented, "/pins/" + v.ID + "/download": http.StatusNotImplemented,
	} {
		path = "/ui" + path
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(&http.Cookie{Name: "holdfast-session", Value: pair.Access})
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s answers %d, want %d", path, answer.StatusCode, want)
		}
	}
	op := socket(t, p)
	if _, err := op.Reclaim(t.Context(), func(admin.StoreProgress) {}); err == nil || !strings.Contains(err.Error(), "a cluster keeps") {
		t.Errorf("a reclaim: %v", err)
	}
	if _, err := op.Verify(t.Context(), false, func(admin.StoreProgress) {}, func(admin.Damage) error { return nil }); err == nil {
		t.Error("a check of blocks is done")
	}
	if b, err := op.Backup(t.Context(), admin.NewBackup{To: t.TempDir()}, func(admin.StoreProgress) {}); err != nil || b.DamagedBlocks != 0 || b.Blocks != 0 {
		t.Errorf("a backup: %+v, %v", b, err)
	}
	state, err := op.ClusterState(t.Context())
	if err != nil || len(state.Peers) != 3 || state.Members != 3 || state.Instance == "" {
		t.Errorf("the cluster is %+v, %v", state, err)
	}
	is, err := self{p}.Condition(t.Context())
	if err != nil || is.Cluster == nil || len(is.Cluster.Answer) != 3 || is.Unready != "" {
		t.Errorf("the condition is %+v, %v", is, err)
	}

	// The pin outlasts a restart, and an unpin reaches the cluster.
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = frontOver(t, c, d)
	if r, err := socket(t, p).ClusterCheck(t.Context(), false, func(d admin.ClusterDifference) error { t.Errorf("it finds %+v", d); return nil }); err != nil || r.Ours != 1 {
		t.Errorf("the check is %+v, %v", r, err)
	}
	if err := p.pins.Remove(t.Context(), alice.ID, v.ID); err != nil {
		t.Fatal(err)
	}
	if err := p.pins.WaitUnpinned(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.Pinset(); len(got) != 0 || c.Copies(cid) != 0 {
		t.Errorf("the pinset has %v", got)
	}
}

// Pins are taken while no peer answers, and go on when one does.
func TestFrontWithoutPeers(t *testing.T) {
	c := clustertest.New(t, 2)
	d := testDataDir(t)
	p := frontOver(t, c, d)
	alice := account(t, p, "alice@example.org")
	for i := range 2 {
		c.Peer(i).Kill()
	}
	spec, cid := specOf("one")
	c.Serve(cid, clustertest.Content{Blocks: 1, Bytes: 1, All: true})
	v, err := p.pins.Add(t.Context(), alice.ID, spec)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); p.cluster.Reachable() == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody notices")
		}
	}
	if status, body := get(t, p.URL()+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "no peer of the cluster answers") {
		t.Errorf("/readyz answers %d: %s", status, body)
	}
	// So it is after a restart, and clients are told where the nodes were.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if all, err := readList(t.Context(), p.core.store.Datastore(), delegatesKey); err != nil || time.Now().After(deadline) {
			t.Fatal("nobody remembers where the nodes were: ", err)
		} else if len(all) == 2 {
			break
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = frontOver(t, c, d)
	if at := p.delegates(); len(at) != 2 {
		t.Errorf("delegates are %v", at)
	}
	for i := range 2 {
		c.Peer(i).Start()
	}
	awaitPin(t, p, v, pin.Pinned)
}

// A directory is that of a cluster or of this machine, and never changes.
func TestFrontKeepsItsPlace(t *testing.T) {
	c := clustertest.New(t, 1)
	d := testDataDir(t)
	p := frontOver(t, c, d)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p, _ = testProgram(t, d)
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "cluster.peers is empty") {
		t.Errorf("without the cluster it starts: %v", err)
	}
	// While no server runs, a command knows it too.
	client, err := Connect(t.Context(), d, func() (config.Config, error) { return testConfig(), nil }, OpenPlace, p.Log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Reclaim(t.Context(), func(admin.StoreProgress) {}); err == nil || !strings.Contains(err.Error(), "a cluster keeps") {
		t.Errorf("a reclaim: %v", err)
	}
	if _, err := client.ClusterState(t.Context()); err == nil || !strings.Contains(err.Error(), "no server runs here") {
		t.Errorf("the state of a cluster: %v", err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}

	own := testDataDir(t)
	p, _ = testProgram(t, own)
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	root, leaf := twoBlocks(t)
	hold(t, p, root, leaf)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p, _ = testProgram(t, own)
	p.Config.Cluster.Peers = c.URLs()
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "is kept on this machine") {
		t.Errorf("with a cluster it starts: %v", err)
	}
}

// What is wrong with the files that the configuration names is an error of the start.
func TestFrontFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ password, ca, want string }{
		{filepath.Join(dir, "none"), "", "read the password of the cluster"},
		{file("empty", "\n"), "", "no single line"},
		{file("two", "a\nb\n"), "", "no single line"},
		{"", filepath.Join(dir, "none"), "read the certificates of the cluster"},
		{"", file("ca", "no certificate"), "there is no certificate"},
	} {
		p, _ := testProgram(t, testDataDir(t))
		p.Config.Cluster.Peers = []string{"http://127.0.0.1:1"}
		p.Config.Cluster.Username, p.Config.Cluster.PasswordFile, p.Config.Cluster.CAFile = "x", c.password, c.ca
		if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// The password goes to the peers that the operator named, and to nobody whom these name.
func TestFrontPassword(t *testing.T) {
	c := clustertest.New(t, 1)
	c.SetPassword("secret")
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a stranger gets %s with %q", r.URL, r.Header.Get("Authorization"))
	}))
	t.Cleanup(stranger.Close)
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, lines := testProgram(t, testDataDir(t))
	p.Config.Cluster.Peers, p.Config.Cluster.Username, p.Config.Cluster.PasswordFile = c.URLs(), "holdfast", path
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.cluster.Reachable(); err != nil {
		t.Fatal(err)
	}
	c.Peer(0).Answer(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, stranger.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	for deadline := time.Now().Add(20 * time.Second); p.cluster.Reachable() == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody notices")
		}
	}
	if strings.Contains(lines.String(), "secret") {
		t.Error("the log has the password")
	}
}

// A front that was lost without a backup: another makes its requests anew, and nothing is fetched.
func TestFrontIsLost(t *testing.T) {
	c := clustertest.New(t, 3)
	lost := frontOver(t, c, testDataDir(t))
	alice, bob := account(t, lost, "alice@example.org"), account(t, lost, "bob@example.org")
	var cids []string
	for i, name := range []string{"one", "two", "three"} {
		spec, cid := specOf(name)
		spec.Meta = map[string]string{"app": name}
		c.Serve(cid, clustertest.Content{Blocks: 3, Bytes: 300, All: true})
		owner := alice
		if i == 2 {
			owner = bob
		}
		v, err := lost.pins.Add(t.Context(), owner.ID, spec)
		if err != nil {
			t.Fatal(err)
		}
		awaitPin(t, lost, v, pin.Pinned)
		cids = append(cids, cid)
	}
	instance := lost.core.front
	if err := lost.Close(); err != nil {
		t.Fatal(err)
	}

	p := frontOver(t, c, testDataDir(t))
	anna := account(t, p, "anna@example.org")
	op := socket(t, p)
	none := func(admin.StoreProgress) {}
	if r, err := op.ClusterCheck(t.Context(), true, func(d admin.ClusterDifference) error { t.Errorf("it finds %+v", d); return nil }); err != nil || r.Ours != 0 {
		t.Errorf("what another server asked for is touched: %+v, %v", r, err)
	}
	list, err := op.ClusterImport(t.Context(), admin.ClusterImport{}, none)
	if err != nil || len(list.Owners) != 2 || list.Owners[0].Instance != instance || list.Owners[0].To != "" {
		t.Fatalf("the pinset tells of %+v, %v", list, err)
	}
	if _, err := op.ClusterImport(t.Context(), admin.ClusterImport{From: "nobody"}, none); err == nil {
		t.Error("a server that there never was is imported")
	}
	in := admin.ClusterImport{From: instance, Accounts: map[string]string{alice.ID: anna.Email}}
	for range 2 { // it may be done again
		if _, err := op.ClusterImport(t.Context(), in, none); err != nil {
			t.Fatal(err)
		}
	}
	page, err := p.pins.List(t.Context(), anna.ID, pin.Query{Limit: 10, Statuses: pin.Statuses()})
	if err != nil || page.Count != 2 {
		t.Fatalf("she has %d pins, %v", page.Count, err)
	}
	for _, v := range page.Views {
		v = awaitPin(t, p, v, pin.Pinned)
		if v.Name == "" || v.Meta["app"] != v.Name || v.Totals.Blocks != 3 {
			t.Errorf("the pin is %+v", v)
		}
	}
	if usage, err := p.core.store.Usage(t.Context(), anna.ID); err != nil || usage.Bytes != 600 {
		t.Errorf("she is charged %+v, %v", usage, err)
	}
	// What was taken over goes when it is unpinned; what nobody took over stays.
	if _, err := p.pins.RemoveAll(t.Context(), anna.ID); err != nil {
		t.Fatal(err)
	}
	if err := p.pins.WaitUnpinned(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.Pinset(); len(got) != 1 || got[0] != cids[2] {
		t.Errorf("the pinset has %v", got)
	}
}

// A front that is restored from its backup is the same one: its pins are in the cluster, and it still
// stands for the servers that it took over.
func TestFrontIsRestored(t *testing.T) {
	c := clustertest.New(t, 3)
	d := testDataDir(t)
	lost := frontOver(t, c, d)
	alice := account(t, lost, "alice@example.org")
	spec, cid := specOf("one")
	c.Serve(cid, clustertest.Content{Blocks: 3, Bytes: 300, All: true})
	v, err := lost.pins.Add(t.Context(), alice.ID, spec)
	if err != nil {
		t.Fatal(err)
	}
	awaitPin(t, lost, v, pin.Pinned)
	heirs := lost.cluster.Inherit("a server that was lost before")
	if err := writeList(t.Context(), lost.core.store.Datastore(), heirsKey, heirs); err != nil {
		t.Fatal(err)
	}
	place := t.TempDir()
	if _, err := socket(t, lost).Backup(t.Context(), admin.NewBackup{To: place}, func(admin.StoreProgress) {}); err != nil {
		t.Fatal(err)
	}
	front := lost.core.front
	if err := lost.Close(); err != nil {
		t.Fatal(err)
	}

	// Without the keys of the server it has another name for itself, and not in the pinset. So it is
	// also if only some accounts are restored.
	for _, accounts := range [][]string{nil, {alice.Email}} {
		d := testDataDir(t)
		in := Restoration{NewRestore: admin.NewRestore{From: place, Accounts: accounts}, Open: OpenPlace}
		if _, err := Restore(t.Context(), d, in, testConfig(), lost.Log, func(admin.StoreProgress) {}); err != nil {
			t.Fatal(err)
		}
		p := frontOver(t, c, d)
		if p.core.front != front || p.core.instance == front {
			t.Errorf("the pinset knew it as %s, and now as %s; for itself it is %s", front, p.core.front, p.core.instance)
		}
		if got, err := readList(t.Context(), p.core.store.Datastore(), heirsKey); err != nil || !slices.Equal(got, heirs) {
			t.Errorf("it stands for %q, want %q: %v", got, heirs, err)
		}
		if v, err := p.pins.Get(t.Context(), alice.ID, v.ID); err != nil || v.Status != pin.Pinned || v.Info["copies"] == "" {
			t.Errorf("the pin is %s with %v: %v", v.Status, v.Info, err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Two programs over one cluster leave each other's pins alone.
func TestTwoFronts(t *testing.T) {
	c := clustertest.New(t, 3)
	spec, cid := specOf("one")
	c.Serve(cid, clustertest.Content{Blocks: 1, Bytes: 1, All: true})
	var all []*Program
	var pins []pin.View
	for range 2 {
		p := frontOver(t, c, testDataDir(t))
		v, err := p.pins.Add(t.Context(), account(t, p, "alice@example.org").ID, spec)
		if err != nil {
			t.Fatal(err)
		}
		all, pins = append(all, p), append(pins, awaitPin(t, p, v, pin.Pinned))
	}
	for i, p := range all {
		if _, err := p.cluster.Check(t.Context(), true, func(d cluster.Difference) { t.Errorf("it finds %+v", d) }); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.pins.Remove(t.Context(), pins[i].Account, pins[i].ID), p.pins.WaitUnpinned(t.Context())); err != nil {
			t.Fatal(err)
		}
		if left := len(c.Pinset()); left != 1-i {
			t.Errorf("after %d of 2 unpinned it, the pinset has %d", i+1, left)
		}
	}
}
