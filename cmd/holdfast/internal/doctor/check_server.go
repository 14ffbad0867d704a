package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
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
	if len(all) == 0 {
		return one(OK, "it is good; file: "+cmp.Or(p.ConfigFile, "none"), "")
	}
	return all
}

func server(_ context.Context, p *Patient) []Finding {
	switch {
	case p.ServerErr != nil:
		if answer, ok := errors.AsType[*admin.AnswerError](p.ServerErr); ok && answer.Status == http.StatusNotFound {
			return one(Warning, "a server of an earlier version runs, which cannot say how it is", "restart it, so that the installed version runs")
		}
		return one(Trouble, "a server runs, and does not say how it is: "+p.ServerErr.Error(), "look at its log; if it says nothing, restart it")
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
