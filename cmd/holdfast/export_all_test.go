package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/kuborpc"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/psa"
)

// An export of everything names a DAG whose root the disk has lost, and writes all others and
// the list. Then it fails.
func TestExportAllOfDamaged(t *testing.T) {
	s := startServer(t)
	if out, err := holdfastStdin(t, s.data, "correct horse battery\n", "user", "add", "ann@example.org", "--password-stdin"); err != nil {
		t.Fatalf("user add: %v\n%s", err, out)
	}
	const files = 3
	for i := range files {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, fmt.Append(nil, "file ", i), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := holdfastCmd(t, s.data, "add", path).CombinedOutput(); err != nil {
			t.Fatalf("add: %v\n%s", err, out)
		}
	}
	s.stop(t)
	spoilRecord(t, s.data, []byte("/blocks/")...)
	again := &server{Cmd: holdfastCmd(t, s.data, "serve"), data: s.data, log: new(logtest.Lines)}
	again.Stderr = again.log
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		again.Process.Kill()
		again.Wait()
	})
	awaitReady(t, s.data, again.Process.Pid)
	if out, err := holdfastCmd(t, s.data, "store", "verify").CombinedOutput(); err == nil { // the server then knows of it
		t.Fatalf("store verify finds nothing: %s", out)
	}

	dir := filepath.Join(t.TempDir(), "out")
	cmd := holdfastCmd(t, s.data, "export", "--all", dir, "--json")
	out, err := cmd.Output()
	if err == nil {
		t.Error("the export of a damaged DAG succeeds")
	}
	var done exported
	if err := json.Unmarshal(out, &done); err != nil {
		t.Fatalf("%v of %s", err, out)
	}
	if done.Written != files-1 || len(done.Failed) != 1 || !strings.Contains(done.Failed[0].Why, "cannot read what it has on disk") {
		t.Errorf("exported %+v", done)
	}
	var pins []json.RawMessage
	if text, err := os.ReadFile(filepath.Join(dir, exportList)); err != nil || json.Unmarshal(text, &pins) != nil || len(pins) != files {
		t.Errorf("%s has %s, %v", exportList, text, err)
	}
}

func holdfastStdin(t *testing.T, data, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := holdfastCmd(t, data, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// What is about one DAG ends nothing. What is about the server does, and so do many DAGs in a
// row that it cannot read.
func TestExportEndsWithTheServer(t *testing.T) {
	var pins []admin.Pin
	for i := range 3 * exportFails {
		h, err := multihash.Sum(fmt.Append(nil, i), multihash.SHA2_256, -1)
		if err != nil {
			t.Fatal(err)
		}
		pins = append(pins, admin.Pin{Status: pin.Pinned, Pin: psa.Pin{CID: cid.NewCidV1(cid.Raw, h).String()}})
	}
	for _, c := range []struct {
		name           string
		status         func(i int) int
		asked, written int
		failed         int
		ends           bool
	}{
		{"every other DAG is damaged", func(i int) int { return 200 + i%2*300 }, len(pins), len(pins) / 2, len(pins) / 2, false},
		{"all are denied", func(int) int { return 451 }, len(pins), 0, len(pins), false},
		{"all are damaged", func(int) int { return 500 }, exportFails, 0, exportFails, true},
		{"the account is disabled", func(int) int { return 403 }, 1, 0, 0, true},
		{"no token", func(int) int { return 401 }, 1, 0, 0, true},
		{"too often", func(int) int { return 429 }, 1, 0, 0, true},
		{"the server stops", func(i int) int { return []int{500, 503}[i] }, 2, 0, 1, true},
		{"its disk is full", func(int) int { return 507 }, 1, 0, 0, true},
	} {
		asked := 0
		fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked++
			if status := c.status(asked - 1); status != http.StatusOK {
				w.WriteHeader(status)
				fmt.Fprint(w, `{"Message":"no","Code":0,"Type":"error"}`)
				return
			}
			fmt.Fprint(w, "a CAR")
		}))
		k, err := kuborpc.New(fake.URL, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		done, err := (&cli{stderr: new(logtest.Lines)}).exportCARs(t.Context(), k, pins, t.TempDir())
		fake.Close()
		if (err != nil) != c.ends || asked != c.asked || done.Written != c.written || len(done.Failed) != c.failed {
			t.Errorf("%s: asked %d times, wrote %d, failed %d, %v", c.name, asked, done.Written, len(done.Failed), err)
		}
		if errors.Is(err, errExportFails) != (c.failed == exportFails && c.ends) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
