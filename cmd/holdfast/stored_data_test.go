package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

var makeData = flag.String("make-data", "", "write testdata/data/VERSION.tar.gz, the data directory that this version leaves; done once, at a release")

// storedDataDir has what releases left on disk. Nothing in it is ever made anew.
const storedDataDir = "testdata/data"

// leftFile is the file of an archive that says what is in the data beside it.
const leftFile = "left.json"

// left is what a release said of the data that it left.
type left struct {
	// Listings are the answers of commands, by their arguments.
	Listings map[string]json.RawMessage
	Token    string            // of an account that has every pin
	Pins     map[string]string // status of each pin by its name, over HTTP
	Blocks   []string          // CIDs of the blocks of pins that are complete
}

// The commands whose answers are kept.
var leftListings = []string{
	"user ls --json", "token ls alice@example.org --json", "token ls bob@example.org --json",
	"pin ls --all --json", "audit --json --limit 1000",
}

// The data that each release left is opened by this version: nothing in it is lost or read as
// something else, its tokens work, and every block of its complete pins is served.
func TestOpensDataOfReleases(t *testing.T) {
	if *makeData != "" {
		makeStoredData(t, filepath.Join(storedDataDir, *makeData+".tar.gz"))
	}
	archives, err := filepath.Glob(filepath.Join(storedDataDir, "*.tar.gz"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("there is no stored data: %v", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".tar.gz"), func(t *testing.T) {
			dir := t.TempDir()
			unpack(t, path, dir)
			data := filepath.Join(dir, "data")
			var want left
			b, err := os.ReadFile(filepath.Join(dir, leftFile))
			if err == nil {
				err = json.Unmarshal(b, &want)
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(want.Blocks) < 5 || len(want.Pins) < 5 || len(want.Listings) != len(leftListings) {
				t.Fatalf("the archive says too little: %s", b)
			}
			for args, wanted := range want.Listings {
				var was, is any
				got := runHoldfast(t, data, "", strings.Fields(args)...)
				if err := errors.Join(json.Unmarshal(wanted, &was), json.Unmarshal([]byte(got), &is)); err != nil {
					t.Fatalf("%s: %v", args, err)
				}
				checkKept(t, args, was, is)
			}
			runHoldfast(t, data, "", "store", "verify") // an error if anything is damaged or missing

			s := serveData(t, data)
			for name, status := range want.Pins {
				got := s.pinNamed(t, want.Token, name)
				if got.Status != status {
					t.Errorf("pin %s is %s, and was %s", name, got.Status, status)
				}
			}
			for _, text := range want.Blocks {
				c := cid.MustParse(text)
				b, err := c.Prefix().Sum(s.ask(t, http.MethodPost, "/api/v0/block/get?arg="+text, want.Token, "", http.StatusOK))
				if err != nil || !b.Equals(c) {
					t.Errorf("the bytes of %s are those of %s (%v)", c, b, err)
				}
			}
			s.stop(t)
		})
	}
}

// checkKept compares what was said with what is said now, which may be more.
func checkKept(t *testing.T, where string, was, is any) {
	t.Helper()
	switch was := was.(type) {
	case map[string]any:
		now, ok := is.(map[string]any)
		if !ok {
			t.Errorf("%s is %v, and was %v", where, is, was)
		}
		for key, value := range was {
			checkKept(t, where+"."+key, value, now[key])
		}
	case []any:
		now, ok := is.([]any)
		if !ok || len(now) != len(was) {
			t.Errorf("%s is %v, and was %v", where, is, was)
			return
		}
		for i, value := range was {
			checkKept(t, fmt.Sprintf("%s[%d]", where, i), value, now[i])
		}
	default:
		if !reflect.DeepEqual(was, is) {
			t.Errorf("%s is %v, and was %v", where, is, was)
		}
	}
}

// makeStoredData makes an archive with a data directory as a server leaves it. The server has
// fetched its pins from a second server.
func makeStoredData(t *testing.T, path string) {
	if _, err := os.Stat(path); err == nil {
		t.Fatalf("%s exists, and is not made anew: it is what users of that version have", path)
	}
	dag := func(name string, leaves, size int) (all []blocks.Block) {
		root := []byte{}
		for i := range leaves {
			leaf := blockOf(t, cid.Raw, bytes.Repeat(fmt.Appendf(nil, "%s %d. ", name, i), size/len(name)))
			hash := leaf.Cid().Bytes()
			link := append([]byte{0x0a, byte(len(hash))}, hash...) // PBLink: Hash
			root = append(append(root, 0x12, byte(len(link))), link...)
			all = append(all, leaf)
		}
		return append([]blocks.Block{blockOf(t, cid.DagProtobuf, append(root, 0x0a, 0))}, all...)
	}
	small, large, shared, partial, tooMany := dag("small", 2, 100), dag("large", 3, 40_000), dag("shared", 2, 5000), dag("partial", 3, 9000), dag("many", 9, 200)
	alone := []blocks.Block{blockOf(t, cid.Raw, []byte("a block that is a pin"))}

	source := t.TempDir()
	runHoldfast(t, source, "correct horse battery\n", "user", "add", "source@example.org", "--password-stdin")
	withStore(t, source, func(c atRest) {
		accounts, err := c.auth.ListAccounts(t.Context())
		if err != nil || len(accounts) != 1 {
			t.Fatal(accounts, err)
		}
		for _, d := range [][]blocks.Block{small, large, shared, alone, tooMany, partial[:3]} {
			hold(t, c, accounts[0].ID, d...)
		}
	})
	other := serveData(t, source)
	otherRun := other.runFile(t)

	data := filepath.Join(t.TempDir(), "data")
	const password = "correct horse battery\n"
	run := func(stdin string, args ...string) string {
		t.Helper()
		return strings.TrimSpace(runHoldfast(t, data, stdin, args...))
	}
	run(password, "user", "add", "alice@example.org", "--password-stdin", "--admin")
	run(password, "user", "add", "bob@example.org", "--password-stdin", "--quota", "1GiB", "--max-pins", "100")
	run(password, "user", "add", "carol@example.org", "--password-stdin")
	run("", "user", "disable", "carol@example.org")
	run("", "user", "invite", "--quota", "5GiB", "--expires", "365d")
	token := run("", "token", "create", "alice@example.org", "--name", "laptop")
	run("", "token", "create", "alice@example.org", "--name", "reader", "--scope", "read")
	run("", "token", "create", "alice@example.org", "--name", "admin", "--scope", "admin", "--expires", "36500d")
	bob := run("", "token", "create", "bob@example.org", "--name", "phone")
	run("", "keys", "rotate")

	s := serveData(t, data, "HOLDFAST_NODE_ALLOW_PRIVATE_ADDRESSES=true", "HOLDFAST_PIN_MAX_DAG_BLOCKS=8", "HOLDFAST_NODE_PEERING="+otherRun.Addrs[0])
	add := func(token, path, name, c, meta string) string {
		t.Helper()
		body := fmt.Sprintf(`{"cid":%q,"name":%q,"meta":{%s},"origins":[%q]}`, c, name, meta, otherRun.Addrs[0])
		var made pinStatus
		if err := json.Unmarshal(s.ask(t, http.MethodPost, "/api/psa/pins"+path, token, body, http.StatusAccepted), &made); err != nil {
			t.Fatal(err)
		}
		return made.RequestID
	}
	want := left{Listings: map[string]json.RawMessage{}, Token: token, Pins: map[string]string{
		"version 0": "pinned", "large": "pinned", "again": "pinned", "replacement": "pinned", "one block": "pinned",
		"identity": "pinned", "partial": "pinning", "nowhere": "pinning", "too many blocks": "failed",
	}}
	v0 := cid.NewCidV0(small[0].Cid().Hash()).String()
	add(token, "", "version 0", v0, `"app":"a"`)
	add(token, "", "large", large[0].Cid().String(), "")
	add(token, "", "again", large[0].Cid().String(), `"app":"b","k":"v"`)
	replaced := add(token, "", "to be replaced", shared[0].Cid().String(), "")
	add(token, "", "one block", alone[0].Cid().String(), "")
	add(token, "", "identity", "bafkqaaa", "")
	add(token, "", "partial", partial[0].Cid().String(), "")
	add(token, "", "nowhere", blockOf(t, cid.Raw, []byte("nobody has this")).Cid().String(), "")
	add(token, "", "too many blocks", tooMany[0].Cid().String(), "")
	add(bob, "", "of bob", large[0].Cid().String(), "")
	poll := func(token, name, status string, blocks string) {
		t.Helper()
		for deadline := time.Now().Add(logtest.Patience); ; time.Sleep(20 * time.Millisecond) {
			p := s.pinNamed(t, token, name)
			if p.Status == status && (blocks == "" || p.Info["blocks"] == blocks) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is %+v, want %s", name, p, status)
			}
		}
	}
	poll(token, "to be replaced", "pinned", "")
	add(token, "/"+replaced, "replacement", shared[1].Cid().String(), "")
	for name, status := range want.Pins {
		poll(token, name, status, map[string]string{"partial": "3"}[name])
	}
	poll(bob, "of bob", "pinned", "")
	s.stop(t)
	other.stop(t)

	for _, d := range [][]blocks.Block{small, large, shared[1:2], alone} {
		for _, b := range d {
			want.Blocks = append(want.Blocks, b.Cid().String())
		}
	}
	for _, args := range leftListings {
		want.Listings[args] = json.RawMessage(run("", strings.Fields(args)...))
	}
	b, err := json.MarshalIndent(want, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	pack(t, path, data, b)
}

// hold makes a DAG pinned in a store, the root first. If the root links to more, that is missing.
func hold(t *testing.T, c atRest, account string, bs ...blocks.Block) {
	t.Helper()
	ctx, root := t.Context(), bs[0].Cid()
	r, err := c.store.Add(ctx, account, pin.Spec{CID: root.String(), Root: root})
	if err != nil {
		t.Fatal(err)
	}
	attempt, _, err := c.store.Begin(ctx, r.DAG())
	if err == nil {
		err = c.store.Write(ctx, stored(attempt, bs...))
	}
	if err == nil {
		_, _, err = c.store.Complete(ctx, r.DAG(), attempt, pin.Totals{Blocks: uint64(len(bs)), Bytes: 1})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func blockOf(t *testing.T, codec uint64, data []byte) blocks.Block {
	t.Helper()
	c, err := cid.V1Builder{Codec: codec, MhType: multihash.SHA2_256}.Sum(data)
	if err != nil {
		t.Fatal(err)
	}
	b, err := blocks.NewBlockWithCid(data, c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pack writes an archive of a data directory and of what is to be in it.
func pack(t *testing.T, path, data string, about []byte) {
	t.Helper()
	var archive bytes.Buffer
	z := gzip.NewWriter(&archive)
	w := tar.NewWriter(z)
	write := func(name string, b []byte) error {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(b))}); err != nil {
			return err
		}
		_, err := w.Write(b)
		return err
	}
	err := errors.Join(write(leftFile, about), filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(filepath.Dir(data), path)
		if err != nil {
			return err
		}
		return write(filepath.ToSlash(name), b)
	}), w.Close(), z.Close())
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, archive.Bytes(), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// unpack is the reverse of pack.
func unpack(t *testing.T, path, dir string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, header.Name)
		b, err := io.ReadAll(r)
		if err = errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// pinStatus is what is used of the answers of the pinning service.
type pinStatus struct {
	RequestID string                     `json:"requestid"`
	Status    string                     `json:"status"`
	Pin       struct{ CID, Name string } `json:"pin"`
	Info      map[string]string          `json:"info"`
}

// runHoldfast runs a command to its end, which is a good one, and gives its output. No pin and no
// event of the audit record is too old for it.
func runHoldfast(t *testing.T, data, stdin string, args ...string) string {
	t.Helper()
	cmd := holdfastCmd(t, data, args...)
	cmd.Env = append(cmd.Env, ageless...)
	cmd.Stdin = strings.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", args, err, &errs)
	}
	return string(out)
}

// ageless keeps what is stored for a hundred years.
var ageless = []string{"HOLDFAST_PIN_KEEP_PARTIAL=36500d", "HOLDFAST_PIN_STALL_TIMEOUT=36500d", "HOLDFAST_AUTH_AUDIT_KEEP=0"}

// serveData starts a server on data.
func serveData(t *testing.T, data string, env ...string) *server {
	t.Helper()
	s := &server{data: data, log: new(logtest.Lines)}
	s.Cmd = holdfastCmd(t, data, "serve")
	s.Env = append(append(s.Env, ageless...), env...)
	s.Stderr = s.log
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after Wait there is nothing to kill, and both fail
		s.Process.Kill()
		s.Wait()
	})
	awaitReady(t, data, s.Process.Pid)
	return s
}

func (s *server) stop(t *testing.T) {
	t.Helper()
	s.signal(t, syscall.SIGTERM)
	if err := s.Wait(); err != nil {
		t.Fatalf("serve: %v\n%s", err, s.log)
	}
}

func (s *server) runFile(t *testing.T) datadir.RunFile {
	t.Helper()
	run, ok := datadir.ReadRunFile(filepath.Join(s.data, datadir.RunFileName))
	if !ok || len(run.Addrs) == 0 {
		t.Fatalf("the server is not ready: %+v", run)
	}
	return run
}

// ask makes a request with a token and gives the body of its answer, which has the status.
func (s *server) ask(t *testing.T, method, path, token, body string, status int) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.runFile(t).HTTP+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != status {
		t.Fatalf("%s %s: %s, %v\n%s", method, path, answer.Status, err, b)
	}
	return b
}

// pinNamed gives the one pin that has a name.
func (s *server) pinNamed(t *testing.T, token, name string) pinStatus {
	t.Helper()
	path := "/api/psa/pins?status=queued,pinning,pinned,failed&name=" + strings.ReplaceAll(name, " ", "+")
	var page struct{ Results []pinStatus }
	if err := json.Unmarshal(s.ask(t, http.MethodGet, path, token, "", http.StatusOK), &page); err != nil || len(page.Results) != 1 {
		t.Fatalf("pins named %s: %+v, %v", name, page, err)
	}
	return page.Results[0]
}
