package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-ipfs/holdfast/internal/text"
)

// clusterCheck looks at the cluster that keeps what is pinned, as the server that runs sees it.
func clusterCheck(_ context.Context, p *Patient) (all []Finding) {
	switch {
	case !p.Config.Cluster.On():
		return one(Note, "what is pinned is kept on this machine", "")
	case p.Server == nil:
		return one(Note, "only a server that runs can say how the cluster is", "")
	case p.Server.Cluster == nil:
		return one(Warning, "the server that runs keeps what is pinned on this machine, and the configuration names a cluster", "restart it")
	}
	is := p.Server.Cluster
	for _, url := range slices.Sorted(maps.Keys(is.Away)) {
		level := Warning
		if len(is.Answer) == 0 {
			level = Trouble
		}
		all = append(all, Finding{Level: level, Text: "the peer at " + url + " is away: " + is.Away[url],
			Hint: "look whether it and its node run, and at cluster.peers, cluster.username, cluster.password_file and cluster.ca_file"})
	}
	if is.Below > 0 {
		all = append(all, Finding{Level: Warning, Text: "with fewer copies than they are to have: " + text.Counted(is.Below, "DAG"),
			Hint: "`holdfast cluster check` names them; after 30 minutes other peers get them"})
	}
	if len(all) == 0 {
		return one(OK, fmt.Sprintf("peers that answer: %s", strings.Join(is.Answer, ", ")), "")
	}
	return all
}
