package daemon

import (
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/logtest"
)

// A warning about a lost or replaced key file is logged once.
func TestLostKeysAreToldOf(t *testing.T) {
	d := testDataDir(t)
	// use starts and ends a server, and gives its warnings.
	use := func(peer *string) (warnings string) {
		t.Helper()
		p, lines := testProgram(t, d)
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		*peer = p.node.PeerID()
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(lines.String()) {
			if strings.Contains(line, "level=WARN") && strings.Contains(line, ".key") {
				warnings += line
			}
		}
		return warnings
	}
	var first, peer string
	for what := range 2 {
		if got := use(&first); got != "" {
			t.Errorf("start %d warns of\n%s", what, got)
		}
	}
	kept := map[string][]byte{}
	for _, name := range []string{datadir.NodeKeyFile, datadir.TokenKeysFile} {
		b, err := os.ReadFile(d.File(name))
		if err != nil {
			t.Fatal(err)
		}
		kept[name] = b
		if err := os.Remove(d.File(name)); err != nil {
			t.Fatal(err)
		}
	}
	got := use(&peer)
	for _, want := range []string{
		"node.key was missing, and a new one was made", "was=" + first, "is=" + peer, "file=" + d.File(datadir.NodeKeyFile),
		"tokens.key was missing, and new keys were made: every earlier token is refused", "file=" + d.File(datadir.TokenKeysFile),
		"restore the file from a backup",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
	if got := use(&peer); got != "" {
		t.Errorf("the start after that warns of\n%s", got)
	}
	// The old ones are put back.
	for name, b := range kept {
		if err := os.WriteFile(d.File(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got = use(&peer)
	if n := strings.Count(got, "is not the file that this directory was last used with"); n != 2 || peer != first {
		t.Errorf("%s, once %s, warns of\n%s", peer, first, got)
	}
	if got := use(&peer); got != "" {
		t.Errorf("the start after that warns of\n%s", got)
	}
}

// A command makes the first account before the node has a key.
func TestNewKeysAreNotToldOf(t *testing.T) {
	d := testDataDir(t)
	var log logtest.Lines
	c, err := Connect(t.Context(), d, func() (config.Config, error) { return testConfig(), nil }, OpenPlace, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	p, lines := testProgram(t, d)
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := log.String() + lines.String(); strings.Contains(s, ".key") {
		t.Errorf("it says\n%s", s)
	}
}

// A warning about another network is logged once, however the node came there.
func TestAnotherSwarmKeyIsToldOf(t *testing.T) {
	d := testDataDir(t)
	use := func() (told int) {
		t.Helper()
		p, lines := testProgram(t, d)
		p.Config.Node.Bootstrap = []string{}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if s := lines.String(); strings.Contains(s, "another network") && !strings.Contains(s, "file="+d.File(datadir.SwarmKeyName)) {
			t.Errorf("the file is not named:\n%s", s)
		}
		return strings.Count(lines.String(), "the node is in another network")
	}
	key := func(digits string) {
		t.Helper()
		text := "/key/swarm/psk/1.0.0/\n/base16/\n" + digits + "\n"
		if err := os.WriteFile(d.File(datadir.SwarmKeyName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	digits := strings.Repeat("0123456789abcdef", 4)
	key(digits)
	for i, step := range []struct {
		change func()
		told   int
	}{
		{func() {}, 0},
		{func() {}, 0},
		{func() { key("1" + digits[1:]) }, 1}, // one bit
		{func() {}, 0},
		{func() { key(digits) }, 1},
		{func() {
			if err := os.Remove(d.File(datadir.SwarmKeyName)); err != nil {
				t.Fatal(err)
			}
		}, 1},
		{func() {}, 0},
	} {
		step.change()
		if told := use(); told != step.told {
			t.Errorf("step %d: it was told of %d times, want %d", i, told, step.told)
		}
	}
}
