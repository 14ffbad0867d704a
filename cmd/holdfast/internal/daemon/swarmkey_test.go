package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
)

// A key in the data directory makes the network a private one, as in Kubo.
func TestSwarmKeyInTheDataDirectory(t *testing.T) {
	p, lines := testProgram(t, testDataDir(t))
	key := "/key/swarm/psk/1.0.0/\n/base16/\n" + strings.Repeat("ab", 32) + "\n"
	if err := os.WriteFile(p.Data.File(datadir.SwarmKeyName), []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines.Await(t, "private network: only peers with the same swarm key")

	p, _ = testProgram(t, testDataDir(t))
	p.Config.Node.SwarmKey = filepath.Join(t.TempDir(), "none.key")
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "none.key") {
		t.Errorf("with a key that is not there the error is %v", err)
	}
}
