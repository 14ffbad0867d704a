package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/node"
	"github.com/holdfast-ipfs/holdfast/store"
)

func configuration(_ context.Context, p *Patient) (all []Finding) {
	const what = "`holdfast config check` prints each key with its value and where that comes from"
	if p.ConfigErr != nil {
		for fault := range strings.SplitSeq(p.ConfigErr.Error(), "\n") {
			all = append(all, Finding{Level: Trouble, Text: fault, Hint: what})
		}
		return all
	}
	for _, w := range p.ConfigWarnings {
		all = append(all, Finding{Level: Warning, Text: w, Hint: what})
	}
	all = append(all, p.openFilesOfConfig()...)
	if len(all) == 0 {
		return one(OK, "it is good; file: "+cmp.Or(p.ConfigFile, "none"), "")
	}
	return all
}

// openFilesOfConfig names files that every user of the host may write or read, and should not.
func (p *Patient) openFilesOfConfig() (all []Finding) {
	const write, read fs.FileMode = 0o002, 0o004
	const closeKey = "make it readable for the user of the server alone: chown holdfast, if that is the user, and chmod 600 "
	for _, f := range []struct {
		key, path   string
		bit         fs.FileMode
		may, remedy string
	}{
		{"the configuration", p.ConfigFile, write, "write to", "chmod o-w "},
		{"http.tls_key", p.Config.HTTP.TLSKey, read, "read", closeKey},
		{"node.swarm_key", p.Config.Node.SwarmKey, read, "read", closeKey},
		{"backup.key_file", p.Config.Backup.KeyFile, read, "read", closeKey},
		{"cluster.password_file", p.Config.Cluster.PasswordFile, read, "read", closeKey},
	} {
		if f.path != "" && openToAll(f.path, f.bit) {
			all = append(all, Finding{Level: Warning, Text: fmt.Sprintf("every user of this host can %s %s, %s", f.may, f.path, f.key),
				Hint: f.remedy + text.ShellQuote(f.path)})
		}
	}
	return all
}

// openToAll reports whether a file has a bit for others, and whether all directories above let
// them in.
func openToAll(path string, bit fs.FileMode) bool {
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	for err == nil {
		var info fs.FileInfo
		if info, err = os.Stat(path); err != nil || info.Mode()&bit == 0 {
			return false
		}
		if path == filepath.Dir(path) {
			return true
		}
		path, bit = filepath.Dir(path), 0o001
	}
	return false // perhaps only root may look there
}

func server(_ context.Context, p *Patient) []Finding {
	switch {
	case p.ServerErr != nil:
		if answer, ok := errors.AsType[*admin.AnswerError](p.ServerErr); ok && answer.Status == http.StatusNotFound {
			return one(Warning, "a server of an earlier version runs, which cannot say how it is", "restart it, so that the installed version runs")
		}
		return one(Trouble, "a server runs, and does not say how it is: "+p.ServerErr.Error(), "look at its log; if it says nothing, restart it")
	case p.DataErr != nil:
		return one(Note, "it is not known whether one runs: the data directory cannot be opened", "")
	case p.Server == nil:
		return one(Note, "none runs on "+p.Path, "")
	case p.Server.Unready != "":
		return one(Trouble, fmt.Sprintf("it runs, as process %d, and is not ready for new pins: %s", p.Server.PID, p.Server.Unready),
			"its log has the reason, in the line `not ready`")
	}
	return one(OK, fmt.Sprintf("it runs, as process %d, since %s, with %s", p.Server.PID,
		p.Server.Started.UTC().Format("2006-01-02 15:04 MST"), text.Counted(p.Server.Network.Peers, "peer")), "")
}

// samePeer looks for a server that runs with a copy of our directory.
func samePeer(_ context.Context, p *Patient) []Finding {
	if p.Config.Cluster.On() {
		return one(Note, "this server is no node of the network: the cluster's nodes are", "")
	}
	if p.Data == nil {
		return one(Note, "the first start makes the key of the node", "")
	}
	ours, err := node.PeerIDIn(p.Data.File(datadir.NodeKeyFile))
	if err != nil {
		return failed(Trouble, p.Data.Explain(err), "a backup that was made with --server-keys has the file")
	}
	if ours == "" {
		return one(Note, "the next start makes the key of the node", "")
	}
	for _, o := range p.Others {
		if o.PeerID == ours {
			return one(Trouble, fmt.Sprintf("the server on %s is the same peer as this one: it has the same node.key", o.Dir),
				"never run two servers with copies of one directory: stop one of them, or move node.key out of its directory, so that it becomes another peer")
		}
	}
	return one(OK, ours, "")
}

func otherServers(_ context.Context, p *Patient) (all []Finding) {
	for _, o := range p.Others {
		all = append(all, Finding{Level: Warning, Text: "another server runs on " + o.Dir,
			Hint: "to look at that one, use --data " + text.ShellQuote(o.Dir) + "; two servers need different ports"})
	}
	if p.Data != nil && p.Server == nil && p.ServerErr == nil {
		pid, locked, err := store.Holder(p.Data.Open)
		switch {
		case err != nil:
			return append(all, failed(Trouble, err, "")...)
		case locked && pid != os.Getpid():
			all = append(all, Finding{Level: Warning, Text: fmt.Sprintf("%s is in use by process %d, which does not answer as a server", p.Path, pid),
				Hint: "it is a command, or a server that starts or stops: find it with `ps`, and wait for it"})
		}
	}
	if len(all) == 0 {
		return one(OK, "none was found", "")
	}
	return all
}
