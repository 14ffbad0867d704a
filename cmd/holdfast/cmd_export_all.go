package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/kuborpc"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/moving"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// exportList is the file with all pins, as `pin ls --json` prints them, in the directory that
// an export of everything writes to.
const exportList = "pins.json"

// exportAll writes the list of an account's pins into a directory, and then a CAR of each DAG
// that it has pinned. A CAR that is there already is not written again.
func (c *cli) exportAll(ctx context.Context, door rpcDoor, dir string, asJSON bool) error {
	if door.api != "" {
		return errors.New("--all is for an account of the server on the data directory, not for --api")
	}
	return c.withAdmin(ctx, false, func(a *admin.Client) error {
		if !a.Running() {
			return hint.Add(errors.New("no server runs on this data directory"), "`holdfast serve` runs one")
		}
		k, err := kuborpc.New("http://"+admin.SocketName, "", a.ForAccount(door.user))
		if err != nil {
			return err
		}
		pins, err := a.Pins(ctx, door.user, statusNames())
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o777); err != nil { // less the umask
			return hintFiles(err)
		}
		// First, so that no CAR keeps it from being written.
		if err := writeWhole(filepath.Join(dir, exportList), func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(pins)
		}); err != nil {
			return hintFiles(err)
		}
		done, err := c.exportCARs(ctx, k, pins, dir)
		return errors.Join(c.printExported(done, asJSON), hintExport(ctx, err, len(done.Failed)))
	})
}

// exported is what an export of everything did.
type exported struct {
	Written int              `json:"written"` // CARs
	Bytes   uint64           `json:"bytes"`   // of those
	Before  int              `json:"here_before"`
	Waiting int              `json:"waiting"` // pins that are not pinned, which have no CAR
	Failed  []moving.Trouble `json:"failed"`  // never null
}

// exportFails is after how many DAGs in a row that the server could not read the export ends:
// then it is not about the DAGs. What a client may not have does not count among them.
const exportFails = 20

// errExportFails: that many failed.
var errExportFails = fmt.Errorf("the server could not read %d DAGs in a row", exportFails)

// exportCARs writes the CARs. A DAG that cannot be read whole does not keep others from being
// written.
func (c *cli) exportCARs(ctx context.Context, k *kuborpc.Client, pins []admin.Pin, dir string) (exported, error) {
	display := newStoreDisplay(c.stderr, c.interactive && canDraw(c.stderr))
	defer display.close()
	done := exported{Failed: []moving.Trouble{}}
	seen := map[pin.DAG]bool{}
	fails := 0 // in a row
	for i, p := range pins {
		display.show(admin.StoreProgress{Text: fmt.Sprintf("%d of %s, %s", i, text.Counted(len(pins), "pin"), text.RoughSize(done.Bytes)), Done: uint64(i), Total: uint64(len(pins))})
		root, err := pin.ParseCID(p.Pin.CID)
		dag := pin.DAGOf(root)
		switch {
		case p.Status != pin.Pinned:
			done.Waiting++
			continue
		case err != nil: // its record is damaged
			done.Failed = append(done.Failed, moving.Trouble{CID: p.Pin.CID, Name: p.Pin.Name, Outcome: moving.Failed, Why: "it " + err.Error()})
			continue
		case seen[dag]:
			continue
		}
		seen[dag] = true
		path := filepath.Join(dir, dag.String()+".car") // base32, which differs on every file system
		if stat, err := os.Stat(path); err == nil && stat.Mode().IsRegular() {
			done.Before++
			continue
		}
		n, err := exportCAR(ctx, k, p.Pin.CID, path)
		done.Bytes += n
		if err == nil {
			done.Written++
			fails = 0
			continue
		}
		answered, ok := errors.AsType[*kuborpc.Error](err)
		if !ok || aboutServer(answered.Status) {
			return done, fmt.Errorf("export %s: %w", p.Pin.CID, err)
		}
		done.Failed = append(done.Failed, moving.Trouble{CID: p.Pin.CID, Name: p.Pin.Name, Outcome: moving.Failed, Why: err.Error()})
		if answered.Status >= 500 {
			fails++
		}
		if fails == exportFails {
			return done, fmt.Errorf("export %s: %w: %w", p.Pin.CID, errExportFails, err)
		}
	}
	return done, nil
}

// aboutServer reports whether an answer says something of the account or of the server, so that
// no other DAG need be asked for. Every other failure is about the DAG.
func aboutServer(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests,
		http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		return true
	}
	return false
}

// exportCAR writes one CAR, and returns how many bytes came.
func exportCAR(ctx context.Context, k *kuborpc.Client, cid, path string) (n uint64, err error) {
	car, err := k.Export(ctx, cid)
	if err != nil {
		return 0, err
	}
	defer car.Close()
	err = writeWhole(path, func(w io.Writer) error {
		copied, err := io.Copy(w, car)
		n = uint64(copied)
		return err
	})
	return n, err
}

func (c *cli) printExported(done exported, asJSON bool) error {
	if asJSON {
		return c.printJSON(done)
	}
	for _, f := range done.Failed {
		fmt.Fprintf(c.stdout, "failed: %s: %s\n", text.Printable(f.CID), text.Printable(f.Why))
	}
	_, err := fmt.Fprintf(c.stdout, "wrote %s of %s; %d were there; %s not pinned yet\n", text.Counted(done.Written, "CAR"), text.RoughSize(done.Bytes),
		done.Before, text.Counted(done.Waiting, "pin"))
	return err
}

// hintExport says how an export of everything ended.
func hintExport(ctx context.Context, err error, failed int) error {
	const again, damaged = "run it again: what is written is not written again", "`holdfast store verify` says what is damaged"
	switch {
	case ctx.Err() != nil:
		return hint.Add(errors.New("interrupted"), again)
	case errors.Is(err, errExportFails):
		return hint.Add(err, damaged)
	case err != nil:
		return hint.Add(err, again)
	case failed > 0:
		return hint.Add(fmt.Errorf("not exported: %s", text.Counted(failed, "pin")), damaged)
	}
	return nil
}
