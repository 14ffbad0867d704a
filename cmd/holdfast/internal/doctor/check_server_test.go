package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
)

func TestConfiguration(t *testing.T) {
	p := healthy(t)
	p.ConfigWarnings = []string{"a key does nothing"}
	expect(t, p, "configuration", Warning, "does nothing")
	p.ConfigErr = errors.Join(errors.New("one is wrong"), errors.New("another is wrong"))
	expect(t, p, "configuration", Trouble, "one is wrong")
	expect(t, p, "configuration", Trouble, "another is wrong")
}

// A configuration that everybody may change, and a key that everybody may read, unless a directory
// above keeps others out.
func TestFilesOpenToAll(t *testing.T) {
	above, err := os.MkdirTemp("/tmp", "open") // where everybody comes to
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(above) })
	file := filepath.Join(above, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		name      string
		set       func(*Patient)
		file, dir fs.FileMode
		level     Level
		words     string
	}{
		{"configuration", func(p *Patient) { p.ConfigFile = file }, 0o666, 0o755, Warning, "every user of this host can write to " + file},
		{"configuration to read", func(p *Patient) { p.ConfigFile = file }, 0o644, 0o755, OK, "it is good"},
		{"closed directory", func(p *Patient) { p.ConfigFile = file }, 0o666, 0o750, OK, "it is good"},
		{"key", func(p *Patient) { p.Config.HTTP.TLSKey = file }, 0o644, 0o755, Warning, file + ", http.tls_key"},
		{"private key", func(p *Patient) { p.Config.HTTP.TLSKey = file }, 0o640, 0o755, OK, "it is good"},
		{"key of backups", func(p *Patient) { p.Config.Backup.KeyFile = file }, 0o604, 0o701, Warning, "backup.key_file"},
		{"no file", func(p *Patient) { p.Config.Cluster.PasswordFile = file + ".gone" }, 0o666, 0o755, OK, "it is good"},
	} {
		t.Run(c.name, func(t *testing.T) {
			must(t, os.Chmod(file, c.file))
			must(t, os.Chmod(above, c.dir))
			p := healthy(t)
			c.set(p)
			expect(t, p, "configuration", c.level, c.words)
		})
	}
}

func TestServer(t *testing.T) {
	p := healthy(t)
	p.Server = running()
	p.Server.Unready = "the disk is too full"
	expect(t, p, "server", Trouble, "the disk is too full")
	p.Server, p.ServerErr = nil, errors.New("no answer came")
	expect(t, p, "server", Trouble, "no answer came")
	p.ServerErr = fmt.Errorf("ask: %w", &admin.AnswerError{Status: http.StatusNotFound})
	expect(t, p, "server", Warning, "of an earlier version")
}

func TestSamePeer(t *testing.T) {
	p := healthy(t)
	expect(t, p, "peer", Note, "the next start makes the key")
	id := writeNodeKey(t, p.Data.File(datadir.NodeKeyFile), "an Ed25519 key is from 32 bytes!")
	p.Others = []OtherServer{{Dir: "/copy", PeerID: id}}
	if found := samePeer(t.Context(), p); len(found) != 1 || found[0].Level != Trouble || !strings.Contains(found[0].Text, "the server on /copy is the same peer") {
		t.Errorf("of a copy it finds %+v", found)
	}
	p.Others = nil
	expect(t, p, "peer", OK, id)
	must(t, os.WriteFile(p.Data.File(datadir.NodeKeyFile), []byte("no key"), 0o600))
	expect(t, p, "peer", Trouble, "node.key is damaged")
	p.Config.Cluster.Peers = []string{"http://s1.internal:9094"}
	expect(t, p, "peer", Note, "the cluster's nodes are")
}

func TestOtherServers(t *testing.T) {
	t.Run("runs", func(t *testing.T) {
		p := healthy(t)
		p.Others = []OtherServer{{Dir: "/var/lib/holdfast"}}
		expect(t, p, "other servers", Warning, "another server runs on /var/lib/holdfast")
	})
	t.Run("a command", func(t *testing.T) {
		p := healthy(t)
		holder := exec.Command("flock", p.Path, "sh", "-c", fmt.Sprintf("echo $$ > '%s/holdfast.pid'; echo ready; read end", p.Path))
		end, err := holder.StdinPipe()
		must(t, err)
		out, err := holder.StdoutPipe()
		must(t, err)
		must(t, holder.Start())
		_, err = out.Read(make([]byte, 10)) // it has the lock
		must(t, err)
		expect(t, p, "other servers", Warning, "is in use by process")
		must(t, end.Close())
		_ = holder.Wait() // read fails at the end of its input
	})
}
