package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestKuboCommands goes through the five commands of the user's documentation,
// in its order.
func TestKuboCommands(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	s := serve(t, newData(t))
	ctx := within(t, 90*patience)
	cid := must(source.AddFile(ctx, rig.Random(101, 300_000), 64<<10))(t)
	token := must(rig.Login(ctx, s.HTTP, email, password))(t)

	if !strings.HasSuffix(s.Endpoint(), "/api/psa/") {
		t.Fatalf("endpoint is %s", s.Endpoint())
	}
	must(source.Run(ctx, nil, "pin", "remote", "service", "add", "five", s.Endpoint(), token))(t)

	out := must(source.Run(ctx, nil, "pin", "remote", "add", "--service=five", "--name=war-and-peace.txt", cid))(t)
	for _, want := range []string{cid, "war-and-peace.txt", "pinned"} {
		if !strings.Contains(out, want) {
			t.Errorf("remote add does not say %q:\n%s", want, out)
		}
	}

	out = must(source.Run(ctx, nil, "pin", "remote", "ls", "--service=five"))(t)
	if want := cid + "\tpinned\twar-and-peace.txt\n"; out != want {
		t.Errorf("remote ls says %q, want %q", out, want)
	}

	const unfinished = "--status=queued,pinning,failed"
	if out = must(source.Run(ctx, nil, "pin", "remote", "ls", "--service=five", unfinished))(t); out != "" {
		t.Errorf("remote ls %s says %q, want nothing", unfinished, out)
	}
	dead := nobodyHas(102)
	must(source.Run(ctx, nil, "pin", "remote", "add", "--service=five", "--name=lost", "--background", dead))(t)
	out = must(source.Run(ctx, nil, "pin", "remote", "ls", "--service=five", unfinished))(t)
	if all := lines(out); len(all) != 1 || !strings.HasPrefix(all[0], dead+"\t") || !strings.HasSuffix(all[0], "\tlost") {
		t.Errorf("remote ls %s says %q, want the pin of %s alone", unfinished, out, dead)
	}

	must(source.Run(ctx, nil, "pin", "remote", "rm", "--service=five", "--cid="+cid))(t)
	if out = must(source.Run(ctx, nil, "pin", "remote", "ls", "--service=five"))(t); out != "" {
		t.Errorf("remote ls says %q after rm, want nothing", out)
	}
	must(source.Run(ctx, nil, "pin", "remote", "rm", "--service=five", unfinished))(t)
	if out = must(source.Run(ctx, nil, "pin", "remote", "ls", "--service=five", unfinished))(t); out != "" {
		t.Errorf("remote ls %s says %q after rm, want nothing", unfinished, out)
	}
}

// TestKuboRemovesMany removes all pins that match a query. Kubo does that only with --force.
func TestKuboRemovesMany(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	s := serve(t, newData(t))
	c := login(t, s)
	ctx := within(t, 60*patience)
	addService(t, source, s, "many")
	for i := range 25 { // more than two of Kubo's pages
		must(c.Add(ctx, rig.Pin{CID: nobodyHas(uint64(1000 + i)), Name: "same"}))(t)
	}
	kept := must(c.Add(ctx, rig.Pin{CID: nobodyHas(999), Name: "other"}))(t)

	rm := []string{"pin", "remote", "rm", "--service=many", "--name=same", "--status=queued,pinning,pinned,failed"}
	if _, err := source.Run(ctx, nil, rm...); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("rm of many: %v, want a refusal that names --force", err)
	}
	must(source.Run(ctx, nil, append(rm, "--force")...))(t)
	left := must(c.All(ctx))(t)
	if len(left) != 1 || left[0].RequestID != kept.RequestID {
		t.Errorf("left after rm: %v, want %s alone", left, kept.RequestID)
	}
}

// TestServiceStat has Kubo count the pins by status.
func TestServiceStat(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	d := newData(t)
	s := serve(t, d)
	c := login(t, s)
	ctx := within(t, 60*patience)
	addService(t, source, s, "stat")

	pinned(t, c, rig.Pin{CID: rig.IdentityCID([]byte("here already"))}, 20*patience)
	pinned(t, c, rig.Pin{CID: rig.IdentityCID([]byte("and here"))}, 20*patience)
	for i := range 3 {
		must(c.Add(ctx, rig.Pin{CID: nobodyHas(uint64(200 + i))}))(t)
	}
	out := must(source.Run(ctx, nil, "pin", "remote", "service", "ls", "--stat", "--enc=json"))(t)
	var list struct {
		RemoteServices []struct {
			Service, ApiEndpoint string
			Stat                 struct {
				Status   string
				PinCount struct{ Queued, Pinning, Pinned, Failed int }
			}
		}
	}
	check(t, json.Unmarshal([]byte(out), &list))
	for _, service := range list.RemoteServices {
		if service.Service != "stat" {
			continue
		}
		n := service.Stat.PinCount
		if service.Stat.Status != "valid" || n.Queued+n.Pinning != 3 || n.Pinned != 2 || n.Failed != 0 {
			t.Errorf("stat is %+v, want valid with 3 queued or pinning and 2 pinned", service.Stat)
		}
		return
	}
	t.Errorf("the service is not listed: %s", out)
}

// TestBackgroundAdd pins a CID that nobody has. The pin stays visible; it neither fails nor
// disappears.
func TestBackgroundAdd(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	s := serve(t, newData(t))
	ctx := within(t, 60*patience)
	addService(t, source, s, "background")
	dead := nobodyHas(301)
	out := must(source.Run(ctx, nil, "pin", "remote", "add", "--service=background", "--background", "--name=hope", dead))(t)
	if !strings.Contains(out, "queued") && !strings.Contains(out, "pinning") {
		t.Errorf("remote add --background says %q, want queued or pinning", out)
	}
	ls := func() {
		t.Helper()
		out := must(source.Run(ctx, nil, "pin", "remote", "ls", "--service=background", "--cid="+dead, "--status=queued,pinning"))(t)
		if all := lines(out); len(all) != 1 || !strings.HasSuffix(all[0], "\thope") {
			t.Errorf("remote ls says %q, want the pin", out)
		}
	}
	ls()
	// Another pin comes and is done; the first is still there.
	pinned(t, login(t, s), rig.Pin{CID: rig.IdentityCID([]byte("hope"))}, 20*patience)
	ls()
}
