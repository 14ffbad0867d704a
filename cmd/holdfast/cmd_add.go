package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ipfs/boxo/files"
	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/kuborpc"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

// upload is what `holdfast add` is given.
type upload struct {
	rpcDoor
	name      string
	wrap, car bool
	hidden    bool
	query     url.Values // how files become a DAG
}

// importFlags are the parameters of Kubo's add that say how files become a DAG. Without one
// the server has its default, which is Kubo's.
var importFlags = []struct {
	name  string
	isSet bool // it has no value
	usage string
}{
	{"cid-version", false, "version of the CIDs, 0 or 1"},
	{"raw-leaves", true, "leaves that are raw blocks"},
	{"chunker", false, "how files are cut: size-BYTES, rabin-MIN-AVG-MAX or buzhash"},
	{"hash", false, "hash function, such as sha2-256 or blake3"},
	{"trickle", true, "the trickle layout"},
	{"max-file-links", false, "how many links a node of a file has at most"},
	{"max-directory-links", false, "how many links a directory that is no HAMT has at most"},
	{"max-hamt-fanout", false, "how many links a node of a HAMT has at most"},
	{"inline", true, "put small blocks into their CIDs"},
	{"inline-limit", false, "how large such blocks are at most"},
	{"empty-dirs", true, "directories without files too, unless it is false"},
	{"preserve-mode", true, "keep the permissions of files"},
	{"preserve-mtime", true, "keep the times of files"},
}

func (c *cli) addCommand() *cobra.Command {
	u := upload{query: url.Values{}}
	cmd := &cobra.Command{
		Use:   "add PATH...",
		Short: "Upload files and directories, and pin them",
		Long: `Upload files and directories, pin them, and print the CID of each PATH on standard output.
- is standard input. With --car, each PATH is a CAR whose blocks are uploaded, and the CIDs
of its roots are printed. The CIDs are those that Kubo gives to the same files with the same
flags.

The content goes to the server on the data directory, as an account of it, or by --api to
any other that speaks Kubo's RPC, such as a Holdfast on another host, or a Kubo.

If an upload breaks off, run the command again.`,
		Args: func(_ *cobra.Command, given []string) error {
			if len(given) == 0 {
				return errors.New("PATH is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			for _, f := range importFlags {
				if flag := cmd.Flags().Lookup(f.name); flag.Changed {
					if u.car {
						return fmt.Errorf("--%s is about files, and the blocks of a CAR are as they are", f.name)
					}
					u.query.Set(f.name, flag.Value.String())
				}
			}
			if u.car && u.wrap {
				return errors.New("--wrap is about files, and the blocks of a CAR are as they are")
			}
			return c.withRPC(cmd.Context(), u.rpcDoor, func(k *kuborpc.Client) error { return c.upload(cmd.Context(), k, u, given) })
		},
	}
	u.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&u.name, "name", "", "name of the pin")
	flags.BoolVarP(&u.wrap, "wrap", "w", false, "put all into one directory, and print its CID alone")
	flags.BoolVar(&u.car, "car", false, "each PATH is a CAR")
	flags.BoolVar(&u.hidden, "hidden", false, "also files in directories whose names begin with a dot")
	for _, f := range importFlags {
		if f.isSet {
			flags.Bool(f.name, false, f.usage)
		} else {
			flags.String(f.name, "", f.usage)
		}
	}
	return cmd
}

// upload uploads the paths.
func (c *cli) upload(ctx context.Context, k *kuborpc.Client, u upload, paths []string) error {
	entries, total, err := c.open(u, paths)
	if err != nil {
		return err
	}
	display := newTransferDisplay(c.stderr)
	defer display.close()
	display.expect(total)
	sets := [][]files.DirEntry{entries} // each is a call
	if !u.wrap {
		sets = slices.Collect(slices.Chunk(entries, 1))
	}
	for i, set := range sets {
		cids, err := u.send(ctx, k, set, display)
		if err != nil {
			display.close()
			if len(sets) > 1 {
				err = fmt.Errorf("add %s: %w", paths[i], err)
			}
			return err
		}
		for _, cid := range cids {
			if _, err := fmt.Fprintln(c.stdout, text.Printable(cid)); err != nil {
				return err
			}
		}
	}
	return nil
}

// send makes one call.
func (u upload) send(ctx context.Context, k *kuborpc.Client, set []files.DirEntry, display *transferDisplay) ([]string, error) {
	content, q := files.NewSliceDirectory(set), url.Values{"progress": {"false"}}
	if u.car {
		q = url.Values{"pin-roots": {"true"}}
		roots, err := k.Import(ctx, content, q, display.reader)
		if err == nil && len(roots) == 0 {
			err = errors.New("the CAR has no roots, so nothing of it is pinned")
		}
		for _, root := range roots {
			if u.name != "" && err == nil {
				err = k.Name(ctx, root, u.name)
			}
		}
		return roots, err
	}
	for name, values := range u.query {
		q[name] = values
	}
	if u.name != "" {
		q.Set("pin-name", u.name)
	}
	if u.wrap {
		q.Set("wrap-with-directory", "true")
	}
	cid, err := k.Add(ctx, content, q, display.reader)
	return []string{cid}, err
}

// open finds what is to be uploaded. total is how many bytes that has; 0 is not known.
func (c *cli) open(u upload, paths []string) (entries []files.DirEntry, total int64, err error) {
	var unknown bool
	names := map[string]string{}
	for _, path := range paths {
		var node files.Node
		name := ""
		if path == "-" {
			if unknown {
				return nil, 0, errors.New("standard input can be read once")
			}
			if u.wrap {
				return nil, 0, errors.New("standard input has no name in the directory that --wrap makes")
			}
			node, unknown = files.NewReaderFile(io.NopCloser(c.stdin)), true
		} else {
			if name, node, err = openPath(path, u); err != nil {
				return nil, 0, err
			}
			if other, twice := names[name]; twice && u.wrap {
				return nil, 0, fmt.Errorf("%s and %s would have the same name in the directory that --wrap makes", other, path)
			}
			names[name] = path
			size, err := node.Size()
			if err != nil {
				return nil, 0, fmt.Errorf("add %s: %w", path, err)
			}
			total += size
		}
		entries = append(entries, files.FileEntry(name, node))
	}
	if unknown {
		total = 0
	}
	return entries, total, nil
}

// openPath finds a file or directory, and the name that it gets.
func openPath(path string, u upload) (name string, node files.Node, err error) {
	look := os.Lstat
	if u.car || strings.HasSuffix(path, "/") {
		look = os.Stat // a CAR is read, wherever it is; so is a directory behind a link, as elsewhere
	}
	full, err := filepath.Abs(path) // so that . has a name
	var stat fs.FileInfo
	if err == nil {
		stat, err = look(full)
	}
	if err == nil && u.car && stat.IsDir() {
		err = errors.New("a directory is no CAR")
	}
	if err == nil {
		node, err = files.NewSerialFile(full, u.hidden, stat)
	}
	if err != nil {
		return "", nil, fmt.Errorf("add: %w", err)
	}
	return filepath.Base(full), node, nil
}
