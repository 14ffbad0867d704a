package doctor

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
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
