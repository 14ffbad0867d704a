package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/durable"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/node"
)

// Two servers with one identity take connections and records from each other. So a server that
// was restored with the identity of another looks, at its first start, whether that one still
// answers.

// restoredPeer is what a restore notes of the server whose identity it wrote. The file is there
// until a server has started.
type restoredPeer struct {
	Backup string   `json:"backup"`
	Host   string   `json:"host"` // the name of the machine
	Addrs  []string `json:"addrs"`
}

func writeRestoredPeer(d *datadir.Dir, r restoredPeer) error {
	b, err := json.Marshal(r)
	if err == nil {
		err = durable.WriteFile(filepath.Join(d.Open, datadir.RestoredName), datadir.RestoredName+".new", b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", datadir.RestoredName, err)
	}
	return nil
}

// checkTakeOver fails if this is the first start after a restore, and a server with the same
// identity answers. It needs to be called before the node listens.
func (p *Program) checkTakeOver(ctx context.Context, cfg node.Config) error {
	b, err := os.ReadFile(p.Data.File(datadir.RestoredName))
	if errors.Is(err, fs.ErrNotExist) || datadir.NodeKey().Missing(p.Data) {
		return nil
	}
	var r restoredPeer
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", datadir.RestoredName, err)
	}
	if p.TakeOver {
		p.Log.Warn("this server has the identity of another, and nobody looks whether that one still runs", "backup", r.Backup, "host", r.Host)
		return nil
	}
	p.Log.Info("first start after a restore with the identity of another server: looking whether that one still answers",
		"backup", r.Backup, "host", r.Host, "addrs", r.Addrs)
	at, err := node.Answers(ctx, cfg, r.Addrs)
	switch {
	case err != nil:
		return fmt.Errorf("look whether the server of backup %s still answers: %w", r.Backup, err)
	case at != "":
		return hint.Add(fmt.Errorf("the server on %s, of which backup %s was made, still answers at %s, and this one has the same identity", r.Host, r.Backup, at),
			"stop it for good, and start this one again; or remove node.key here, and this server is another peer; --take-over starts it all the same")
	}
	p.Log.Info("nobody answers with the identity of this server; never start the old server again", "backup", r.Backup, "host", r.Host)
	return nil
}

// tookOver notes that the server has started.
func (p *Program) tookOver() error {
	if err := os.Remove(p.Data.File(datadir.RestoredName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
