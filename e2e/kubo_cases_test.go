package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestKuboCases has a Kubo do what Kubo's own tests of remote pinning do with a service that is made for
// them, as far as a service takes part in it. Other tests have the rest of them: tokens that are refused,
// a policy for MFS, a pin in the background, and the removal of many.
func TestKuboCases(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	s := serve(t, newData(t))
	ctx := within(t, 90*patience)
	run := func(args ...string) string {
		t.Helper()
		return must(source.Run(ctx, nil, append([]string{"pin", "remote"}, args...)...))(t)
	}
	refused := func(want string, args ...string) {
		t.Helper()
		if _, err := source.Run(ctx, nil, append([]string{"pin", "remote"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a refusal with %q", strings.Join(args, " "), err, want)
		}
	}
	type entry struct{ Cid, Name, Status string }
	list := func(args ...string) (all []entry) {
		t.Helper()
		for _, line := range lines(run(append([]string{"ls", "--service=cases", "--enc=json"}, args...)...)) {
			var e entry
			check(t, json.Unmarshal([]byte(line), &e))
			all = append(all, e)
		}
		slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.Name, b.Name) })
		return all
	}
	lists := func(want []entry, args ...string) {
		t.Helper()
		if got := list(args...); !slices.Equal(got, want) {
			t.Errorf("remote ls %s says %v, want %v", strings.Join(args, " "), got, want)
		}
	}

	addService(t, source, s, "cases")
	run("service", "add", "cases-astray", s.Endpoint()+"astray", login(t, s).Token)
	refused("404", "ls", "--service=cases-astray")
	var services struct {
		RemoteServices []struct {
			Service string
			Stat    struct{ Status string }
		}
	}
	check(t, json.Unmarshal([]byte(run("service", "ls", "--stat", "--enc=json")), &services))
	stats := map[string]string{}
	for _, r := range services.RemoteServices {
		stats[r.Service] = r.Stat.Status
	}
	if stats["cases"] != "valid" || stats["cases-astray"] != "invalid" {
		t.Errorf("the services are %v, want valid, and invalid for the wrong path", stats)
	}
	lists(nil)

	// The CID is listed as it was written, in either version.
	for _, version := range []string{"0", "1"} {
		add := func(text string) string {
			t.Helper()
			return strings.TrimSpace(must(source.Run(ctx, strings.NewReader(text+version), "add", "--quieter", "--pin=false", "--cid-version="+version))(t))
		}
		a, b, c := add("A"), add("B"), add("C")
		run("add", "--service=cases", "--name=c", "--background=true", c)
		check(t, rig.Poll(ctx, 50*time.Millisecond, func() (bool, error) { return slices.Equal(list("--name=c"), []entry{{c, "c", "pinned"}}), nil }))
		run("add", "--service=cases", "--name=a", "--background=false", a)
		run("add", "--service=cases", "--name=b", b)
		lists([]entry{{a, "a", "pinned"}, {b, "b", "pinned"}, {c, "c", "pinned"}})
		lists([]entry{{a, "a", "pinned"}}, "--cid="+a)
		lists([]entry{{b, "b", "pinned"}}, "--name=b")
		lists([]entry{{a, "a", "pinned"}, {b, "b", "pinned"}, {c, "c", "pinned"}}, "--status=pinned")
		lists(nil, "--status=failed")

		// Two of one CID and name are removed only by force.
		run("add", "--service=cases", "--name=a", a)
		refused("--force", "rm", "--service=cases", "--name=a")
		lists([]entry{{a, "a", "pinned"}, {a, "a", "pinned"}}, "--name=a")
		run("rm", "--service=cases", "--name=a", "--force")
		lists(nil, "--name=a")
		run("rm", "--service=cases", "--cid="+b)
		lists([]entry{{c, "c", "pinned"}})
		run("add", "--service=cases", "--name=b", b)
		run("rm", "--service=cases", "--force")
		lists(nil)
	}

	// Pins in all statuses, and some of them.
	dead := nobodyHas(777)
	run("add", "--service=cases", "--name=here", rig.IdentityCID([]byte("cases")))
	run("add", "--service=cases", "--name=nowhere", "--background", dead)
	all := list("--status=queued,pinning,pinned,failed")
	if len(all) != 2 || all[0] != (entry{rig.IdentityCID([]byte("cases")), "here", "pinned"}) ||
		all[1].Cid != dead || all[1].Status != "queued" && all[1].Status != "pinning" {
		t.Errorf("remote ls of all says %v", all)
	}
	run("service", "rm", "cases")
	if out := run("service", "ls"); slices.ContainsFunc(lines(out), func(line string) bool { return strings.HasPrefix(line, "cases ") }) {
		t.Errorf("the service is still listed: %s", out)
	}
}
