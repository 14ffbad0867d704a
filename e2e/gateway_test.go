package e2e

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestGatewayAndDenylist: a Kubo imports what another one pinned, as a CAR from Holdfast's gateway.
// Then the content comes on a denylist while the server runs: nobody gets it any more, and Kubo
// learns why it cannot pin it.
func TestGatewayAndDenylist(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	d := allowPrivate(newData(t))
	d.Env["HOLDFAST_GATEWAY_LISTEN"] = "127.0.0.1:0"
	d.Env["HOLDFAST_GATEWAY_DESERIALIZED"] = "true"
	d.Env["HOLDFAST_GATEWAY_PATH_HOSTS"] = "127.0.0.1"
	s := serve(t, d)
	c := login(t, s)
	ctx := within(t, 120*patience)
	cid := must(source.AddFile(ctx, rig.Random(801, 1<<20), 64<<10))(t)
	gatewayStatus := func(format string) int {
		t.Helper()
		query := ""
		if format != "" {
			query = "?format=" + format
		}
		answer := must(http.Get(s.Gateway + "/ipfs/" + cid + query))(t)
		check(t, answer.Body.Close())
		return answer.StatusCode
	}
	if status := gatewayStatus("raw"); status != http.StatusNotFound {
		t.Errorf("what is not pinned: %d", status)
	}
	if status := gatewayStatus(""); status != http.StatusNotFound {
		t.Errorf("for people, what is not pinned: %d", status)
	}
	made := pinned(t, c, rig.Pin{CID: cid, Origins: source.Addrs}, 30*patience)
	if status := gatewayStatus(""); status != http.StatusOK {
		t.Errorf("for people, what is pinned: %d", status)
	}

	reader := startKubo(t, "reader")
	car := must(http.Get(s.Gateway + "/ipfs/" + cid + "?format=car"))(t)
	must(reader.Run(ctx, car.Body, "dag", "import"))(t)
	check(t, car.Body.Close())
	if got, want := carHash(t, ctx, reader, cid), carHash(t, ctx, source, cid); got != want {
		t.Errorf("the DAG has the hash %s, want %s", got, want)
	}

	lists := filepath.Join(d.Dir, "denylists")
	check(t, os.Mkdir(lists, 0o755))
	check(t, os.WriteFile(filepath.Join(lists, "mine.deny"), []byte("/ipfs/"+cid+"\n"), 0o644))
	check(t, rig.Poll(ctx, 50*time.Millisecond, func() (bool, error) { return gatewayStatus("raw") == http.StatusGone, nil }))
	if status := gatewayStatus("car"); status != http.StatusGone {
		t.Errorf("as a CAR: %d", status)
	}
	if status := gatewayStatus(""); status != http.StatusGone {
		t.Errorf("for people: %d", status)
	}
	third := startKubo(t, "third")
	check(t, third.Connect(ctx, s.Addrs[0]))
	short, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := third.Fetch(short, cid); err == nil {
		t.Error("Kubo got by Bitswap what is denied")
	}
	_, err := c.Add(ctx, rig.Pin{CID: cid})
	wantStatus(t, err, http.StatusUnavailableForLegalReasons, "UNAVAILABLE_FOR_LEGAL_REASONS")
	addService(t, source, s, "denying")
	if _, err := source.Run(ctx, nil, "pin", "remote", "add", "--service=denying", cid); err == nil || !strings.Contains(err.Error(), "denylist") {
		t.Errorf("Kubo is told %v", err)
	}
	now := must(c.Get(ctx, made.RequestID))(t)
	if now.Status != "pinned" || !strings.Contains(now.Info["status_details"], "denylist") {
		t.Errorf("the pin is %s, %v", now.Status, now.Info)
	}
	if out := must(d.Run(ctx, nil, "pin", "ls"))(t); !strings.Contains(out, "denylist") {
		t.Errorf("`holdfast pin ls` has %q", out)
	}
}
