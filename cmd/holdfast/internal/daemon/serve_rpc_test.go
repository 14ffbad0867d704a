package daemon

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
)

// rpcClient calls commands of the RPC for this machine.
func rpcClient(t *testing.T, at string) func(command string) (int, string) {
	t.Helper()
	client, base := http.DefaultClient, at
	if path, ok := strings.CutPrefix(at, config.UnixPrefix); ok {
		base = "http://node"
		tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}
		t.Cleanup(tr.CloseIdleConnections)
		client = &http.Client{Transport: tr}
	}
	return func(command string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+RPCPath+"/"+command, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
}

func TestLocalRPC(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "rpc.sock")
	// A server that was killed has left its socket.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	for _, listen := range []string{"unix:" + socket, "127.0.0.1:0", "localhost:0"} {
		p, _ := testProgram(t, testDataDir(t))
		p.Config.RPC.Listen = listen
		var said bytes.Buffer
		p.Terminal = &said
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(said.String(), firstEmail) {
			t.Errorf("the first account of a person is not made: %q", said.String())
		}
		run, ok := datadir.ReadRunFile(p.Data.File(datadir.RunFileName))
		if !ok || run.RPC == "" || strings.HasPrefix(listen, "unix:") && run.RPC != listen {
			t.Fatalf("run.json has %+v", run)
		}
		// The commands have deadlines of their own. Without this one, that of an answer would be that of the
		// next one too, which comes on the same connection.
		if s := p.localRPC.http; s.ReadTimeout <= 0 || s.WriteTimeout <= 0 {
			t.Errorf("a request may take %v to come, and an answer %v", s.ReadTimeout, s.WriteTimeout)
		}
		ask := rpcClient(t, run.RPC)
		if status, body := ask("id"); status != http.StatusOK || !strings.Contains(body, p.node.PeerID()) || !strings.Contains(body, p.node.Addrs()[0]) {
			t.Errorf("id answers %d %s", status, body)
		}
		root, leaf := twoBlocks(t)
		hold(t, p, root, leaf)
		if status, body := ask("repo/stat?size-only=true"); status != http.StatusOK || strings.Contains(body, `"StorageMax":0,`) {
			t.Errorf("repo/stat answers %d %s", status, body)
		}
		if status, body := ask("pin/ls?stream=true&type=recursive"); status != http.StatusOK || body != "" {
			t.Errorf("pin/ls answers %d %s", status, body)
		}
		if status, body := ask("block/get?arg=" + leaf.Cid().String()); status != http.StatusOK || body != string(leaf.RawData()) {
			t.Errorf("block/get answers %d %q", status, body)
		}
		if status, body := ask("repo/gc"); status != http.StatusOK || body != "" {
			t.Errorf("repo/gc answers %d %s", status, body)
		}
		if status, body := get(t, p.metricsURL+"/metrics"); status != http.StatusOK || !strings.Contains(body, `route="rpc:/api/v0/repo/gc"`) {
			t.Errorf("the metrics do not have the calls: %d", status)
		}
		a, err := p.core.auth.AccountByEmail(t.Context(), p.Config.RPC.Account)
		if err != nil || a.Admin {
			t.Errorf("the account is %+v, %v", a, err)
		}
		if _, err := p.core.auth.Disable(t.Context(), a.ID); err != nil {
			t.Fatal(err)
		}
		if status, body := ask("pin/ls"); status != http.StatusInternalServerError || !strings.Contains(body, "disabled") {
			t.Errorf("with a disabled account pin/ls answers %d %s", status, body)
		}
		if path, ok := strings.CutPrefix(listen, "unix:"); ok {
			if is, err := os.Stat(path); err != nil || is.Mode().Perm() != 0o600 {
				t.Errorf("the socket has %v, %v", is.Mode(), err)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("after the end the socket is there: %v", err)
	}
}

// Nothing is taken from others, and no address that others can reach.
func TestLocalRPCCannotListen(t *testing.T) {
	dir := t.TempDir()
	file, taken := filepath.Join(dir, "file"), filepath.Join(dir, "taken.sock")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", taken)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	packets := filepath.Join(dir, "packets.sock") // it refuses connections, and is in use
	other, err := net.ListenPacket("unixgram", packets)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for listen, want := range map[string]string{
		"unix:" + file:    "is no socket",
		"unix:" + taken:   "another program listens there",
		"unix:" + packets: "find out whether another program listens there",
		"unix:" + filepath.Join(dir, "no", "sock"): "no such file",
		"0.0.0.0:0": "can be reached by others",
	} {
		p, _ := testProgram(t, testDataDir(t))
		p.Config.RPC.Listen = listen
		if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", listen, err, want)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Errorf("the file has %q, %v", b, err)
	}
	for _, socket := range []string{taken, packets} {
		if is, err := os.Stat(socket); err != nil || is.Mode().Type() != fs.ModeSocket {
			t.Errorf("the other program's socket: %v", err)
		}
	}
}

// The link that makes the first account works beside the account that is for a program.
func TestSetUpBesideLocalRPC(t *testing.T) {
	d := testDataDir(t)
	for range 2 {
		p, lines := testProgram(t, d)
		p.Config.RPC.Listen = "127.0.0.1:0"
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(lines.String(), "/ui/setup?code=") {
			t.Errorf("no link is logged: %s", lines.String())
		}
		if status, _ := get(t, p.URL()+"/ui/setup?code="+p.pages.setupCode); status != http.StatusOK {
			t.Errorf("the link answers %d", status)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p, _ := testProgram(t, d)
	p.Config.RPC.Listen = "127.0.0.1:0"
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.core.auth.AddAccount(t.Context(), auth.NewAccount{Email: "kelp@example.org", Password: "correct horse battery staple"}); err != nil {
		t.Fatal(err)
	}
	if status, _ := get(t, p.URL()+"/ui/setup?code="+p.pages.setupCode); status == http.StatusOK {
		t.Error("the link works beside an account of a person")
	}
}

// A node counts what nothing holds, also if it serves no metrics: repo/stat leaves that out.
func TestLocalRPCCounts(t *testing.T) {
	p, _ := testProgram(t, testDataDir(t))
	p.Config.RPC.Listen, p.Config.Metrics.Listen = "127.0.0.1:0", ""
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); p.core.store.Counted().At.IsZero(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is counted")
		}
	}
}
