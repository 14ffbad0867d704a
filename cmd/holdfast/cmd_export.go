package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/kuborpc"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

func (c *cli) exportCommand() *cobra.Command {
	var door rpcDoor
	var out, all string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "export CID | --all DIR",
		Short: "Write what is pinned as a CAR, or all that is pinned as CARs",
		Long: `Write the DAG under a CID as a CAR, on standard output or to a file. A file gets its name
when all of it is there, so what had that name before stays if the export breaks off.

It comes from the server on the data directory, as an account of it, or by --api from any
other that speaks Kubo's RPC.

With --all every pin of the account is written: pins.json in DIR, the list of pins with their
names, which "holdfast import list" reads, and for each DAG the file CID.car. If the
export is interrupted, run it again: it goes on where it was. A DAG that the server cannot read
is named, and the others are written; the command then fails.`,
		Args: func(cmd *cobra.Command, given []string) error {
			if all != "" {
				return args()(cmd, given)
			}
			return args("CID")(cmd, given)
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			if all != "" {
				return c.exportAll(cmd.Context(), door, all, asJSON)
			}
			if f, ok := c.stdout.(*os.File); ok && out == "" && term.IsTerminal(int(f.Fd())) {
				return hint.Add(errors.New("a CAR is not for a terminal"), "write it to a file with -o FILE")
			}
			return c.withRPC(cmd.Context(), door, func(k *kuborpc.Client) error { return c.export(cmd.Context(), k, given[0], out) })
		},
	}
	door.flags(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "`FILE` to write")
	cmd.Flags().StringVar(&all, "all", "", "`DIR` to write all pins of the account to")
	cmd.Flags().BoolVar(&asJSON, "json", false, "with --all, print JSON")
	cmd.MarkFlagsMutuallyExclusive("all", "output")
	return cmd
}

// sizeTime is how long an export waits to be told how much there is, for its bar.
const sizeTime = 2 * time.Second

func (c *cli) export(ctx context.Context, k *kuborpc.Client, cid, out string) error {
	display := newTransferDisplay(c.stderr)
	defer display.close()
	if display.bar != nil {
		some, cancel := context.WithTimeout(ctx, sizeTime)
		if size, err := k.Size(some, cid); err == nil { // else the bar does without
			display.expect(int64(size))
		}
		cancel()
	}
	car, err := k.Export(ctx, cid)
	if err != nil {
		return err
	}
	defer car.Close()
	to := func(w io.Writer) error {
		_, err := io.Copy(w, display.reader(car))
		return err
	}
	if out == "" {
		return to(c.stdout)
	}
	return writeWhole(out, to)
}

// writeWhole writes a file that has its name only when it is whole. What is no file, such as a
// pipe, is written to as it is.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	switch stat, statErr := os.Stat(path); {
	case statErr == nil && stat.IsDir():
		return fmt.Errorf("%s is a directory", path)
	case statErr == nil && !stat.Mode().IsRegular():
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	case statErr != nil && !errors.Is(statErr, fs.ErrNotExist):
		return statErr
	}
	partial := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".partial-"+rand.Text())
	f, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666) // less the umask
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(partial))
		}
	}()
	// Synced, so that after a power loss nothing with that name is less than whole.
	if err := cmp.Or(write(f), f.Sync()); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(partial, path)
}

func (c *cli) getCommand() *cobra.Command {
	var door rpcDoor
	cmd := &cobra.Command{
		Use:   "get CID PATH",
		Short: "Write what is pinned as files",
		Long: `Write the file or directory under a CID to PATH, at which nothing may be. /ipfs/CID/some/file
works too. PATH is there when all of it is written; if the command fails, nothing is left.

It comes from the server on the data directory, as an account of it, or by --api from any
other that speaks Kubo's RPC.`,
		Args: args("CID", "PATH"),
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.withRPC(cmd.Context(), door, func(k *kuborpc.Client) error {
				display := newTransferDisplay(c.stderr)
				defer display.close()
				archive, err := k.Get(cmd.Context(), given[0])
				if err != nil {
					return err
				}
				defer archive.Close()
				display.expect(archive.Length)
				return kuborpc.Unpack(archive, given[1], display.add)
			})
		},
	}
	door.flags(cmd)
	return cmd
}
