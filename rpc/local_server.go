package rpc

import (
	"strings"

	"github.com/ipfs/boxo/path"
	"github.com/libp2p/go-libp2p/core/peer"
)

// localRepoStat tells how much is held, and how much more may be: what pins under way are known to
// bring is taken off. What lingers counts as free only once it is gone. So a node that is full gets
// no new pins as long as others may still be fetching from it what it has just let go of.
func localRepoStat(q *call) (err error) {
	s, err := q.Repo.Storage(q.ctx)
	if err != nil {
		return err
	}
	out := repoStats{RepoSize: s.Used - min(s.Used, s.Lingering+s.Dead)}
	out.StorageMax = out.RepoSize + s.Room - min(s.Room, s.Claimed)
	if !q.values.is("size-only", false) {
		out.Version = "fs-repo@" + repoVersion
		if out.NumObjects, err = q.Repo.Blocks(q.ctx); err != nil {
			return err
		}
	}
	return q.out.one(out)
}

// localRepoGC ends the grace of what was unpinned, and gives its space back. It lists no blocks:
// clients would keep the whole list in memory.
func localRepoGC(q *call) error {
	if err := q.local.cfg.Collect(q.ctx); err != nil {
		return err
	}
	q.out.end()
	return nil
}

// swarmConnect connects to peers, at addresses that may be dialled.
func swarmConnect(q *call) error {
	var done struct{ Strings []string }
	for _, arg := range q.args {
		info, err := peer.AddrInfoFromString(arg)
		if err != nil {
			return refuse("%q is no address of a peer: want a multiaddr that ends in /p2p/ID", shorten(arg))
		}
		if err := q.local.cfg.Connect(q.ctx, *info); err != nil {
			if q.ctx.Err() != nil {
				return q.ctx.Err()
			}
			return cannot("connect %s failure: %v", info.ID, err)
		}
		done.Strings = append(done.Strings, "connect "+info.ID.String()+" success")
	}
	return q.out.one(done)
}

// resolve follows a path to the CID that it leads to.
func resolve(q *call) error {
	if strings.HasPrefix(q.args[0], "/"+path.IPNSNamespace+"/") || strings.HasPrefix(q.args[0], path.IPNSNamespace+"://") {
		return cannot("%s is not supported: names are not resolved here", shorten(q.args[0]))
	}
	f, err := q.find(q.args[0])
	if err != nil {
		return err
	}
	to := append([]string{"", f.path.Namespace(), q.cids.Encode(f.cid)}, f.rest...)
	return q.out.one(struct{ Path string }{strings.Join(to, "/")})
}
