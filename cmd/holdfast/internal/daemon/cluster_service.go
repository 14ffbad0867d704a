package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cluster"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// clusterService does for the admin API what operators ask of the cluster.
type clusterService struct{ *Program }

// clusterService is nil if there is no cluster.
func (p *Program) clusterService() admin.Cluster {
	if p.cluster == nil {
		return nil
	}
	return clusterService{p}
}

// State implements [admin.Cluster].
func (s clusterService) State(ctx context.Context) (admin.ClusterState, error) {
	is := s.cluster.State(ctx)
	state := admin.ClusterState{
		Instance: s.core.front, Replication: s.Config.Cluster.Replication, Members: is.Members, Below: is.Below, Peers: []admin.ClusterPeer{},
	}
	for _, p := range is.Peers {
		one := admin.ClusterPeer{Name: p.Name, ID: p.ID, URL: p.URL, Version: p.Version, Node: p.Node, NodeAway: p.NodeAway, Sizes: p.NodeKnown, Room: p.Room}
		if p.Err != nil {
			one.Away = p.Err.Error()
		}
		if p.Known {
			one.Work = &admin.ClusterWork{Queued: p.Queued, Pinning: p.Pinning, Failed: p.Failed}
		}
		state.Peers = append(state.Peers, one)
	}
	if !is.Last.Ended.IsZero() {
		last := clusterReport(is.Last)
		state.Checked = &last
	}
	return state, ctx.Err()
}

func clusterReport(r cluster.Report) admin.ClusterReport {
	return admin.ClusterReport{
		Ended: r.Ended, Elapsed: r.Ended.Sub(r.Began), Pins: r.Pins, Ours: r.Ours, Found: r.Found, Mended: r.Mended, More: r.More, Unread: r.Unread,
	}
}

// Check implements [admin.Cluster].
func (s clusterService) Check(ctx context.Context, repair bool, found func(admin.ClusterDifference)) (admin.ClusterReport, error) {
	r, err := s.cluster.Check(ctx, repair, func(d cluster.Difference) {
		one := admin.ClusterDifference{Kind: d.Kind, CID: d.CID, Peer: d.Peer, Text: d.Text, Mended: d.Mended}
		if d.Err != nil {
			one.Error = d.Err.Error()
		}
		if d.Mended {
			s.Log.Info("a difference between records and cluster was mended", "difference", d.Kind, "cid", d.CID, "peer", d.Peer)
		}
		found(one)
	})
	return clusterReport(r), err
}

// Drain implements [admin.Cluster].
func (s clusterService) Drain(ctx context.Context, peer string, progress func(admin.StoreProgress)) (admin.ClusterDrained, error) {
	done, err := s.cluster.Drain(ctx, peer, func(d cluster.Drained) {
		progress(admin.StoreProgress{Text: "moving " + d.CID, Done: d.Done + d.Failed, Total: d.Total})
	})
	if errors.Is(err, cluster.ErrNoPeer) {
		err = &admin.StatusError{Status: http.StatusNotFound, Err: err, Hint: "`holdfast cluster status` lists the peers"}
	}
	return admin.ClusterDrained{Peer: peer, Moved: done.Done, Failed: done.Failed}, err
}

// clusterCondition says how the cluster is, from memory.
func (p *Program) clusterCondition() *admin.ClusterCondition {
	answer, away := p.cluster.Answering()
	is := p.cluster.Checked()
	c := &admin.ClusterCondition{Answer: answer, Below: is.Below, Checked: is.Last.Ended}
	for url, err := range away {
		if c.Away == nil {
			c.Away = make(map[string]string)
		}
		c.Away[url] = err.Error()
	}
	return c
}

// owner is an account of a server that the pinset tells of.
type owner struct{ instance, account string }

// Import implements [admin.Cluster]. It reads all that the pinset tells of before it makes a request:
// for a DAG of which it makes one, the pinset then tells of this server's requests alone.
func (s clusterService) Import(ctx context.Context, in admin.ClusterImport, progress func(admin.StoreProgress)) (done admin.ClusterImported, err error) {
	counts := make(map[owner]uint64)
	claims := make(map[owner][]cluster.Claim) // of in.From
	seen := make(map[[2]string]struct{})      // by instance and request: a list that is cut begins again
	err = s.cluster.Claims(ctx, func(c cluster.Claim) error {
		id := [2]string{c.Instance, c.Request}
		if _, twice := seen[id]; twice || !s.isLost(c) {
			return nil
		}
		seen[id] = struct{}{}
		o := owner{c.Instance, c.Account}
		counts[o]++
		if c.Instance == in.From {
			claims[o] = append(claims[o], c)
		}
		return nil
	})
	if err != nil {
		return done, err
	}
	to := make(map[owner]string)
	for o, n := range counts {
		id, email, err := s.heirOf(ctx, o.account, in)
		if err != nil {
			return done, err
		}
		to[o] = id
		done.Owners = append(done.Owners, admin.ClusterOwner{Instance: o.instance, Account: o.account, To: email, Requests: n})
	}
	slices.SortFunc(done.Owners, func(a, b admin.ClusterOwner) int {
		return strings.Compare(a.Instance+a.Account, b.Instance+b.Account)
	})
	if in.From == "" {
		return done, nil
	}
	if !slices.ContainsFunc(done.Owners, func(o admin.ClusterOwner) bool { return o.Instance == in.From }) {
		return done, &admin.StatusError{
			Status: http.StatusNotFound, Err: fmt.Errorf("the pinset tells of no requests of a server %q", in.From),
			Hint: "`holdfast cluster import` lists the servers that it tells of",
		}
	}
	if err := notShared(claims, to); err != nil {
		return done, err
	}
	if err := s.inherit(ctx, in.From, claims, to); err != nil {
		return done, err
	}
	for i := range done.Owners {
		one := &done.Owners[i]
		o := owner{one.Instance, one.Account}
		if o.instance != in.From || to[o] == "" {
			continue
		}
		progress(admin.StoreProgress{Text: "importing for " + one.To, Done: uint64(i), Total: uint64(len(done.Owners))})
		made, err := s.importFor(ctx, claims[o], to[o])
		one.Made = uint64(made)
		if err != nil {
			return done, err
		}
	}
	return done, s.knows(in.From, claims, to)
}

// knows notes that the records know what the pinset tells of this server, if all of it was imported.
func (s clusterService) knows(from string, claims map[owner][]cluster.Claim, to map[owner]string) error {
	if from != s.core.front {
		return nil
	}
	var newest time.Time
	for o, all := range claims {
		if to[o] == "" {
			return nil
		}
		for _, c := range all {
			if at, ok := cluster.MadeAt(c.Request); ok && at.After(newest) {
				newest = at
			}
		}
	}
	return writeLife(s.Data.File(datadir.LifeName), s.cluster.KnowUntil(newest))
}

// isLost reports whether a request that the pinset tells of may have no record here, although
// nobody removed it here.
func (s clusterService) isLost(c cluster.Claim) bool { return c.Instance != s.core.front || !c.Own }

// inherit notes that what accounts of a lost server asked for is this server's, if some account here gets
// their requests.
func (s clusterService) inherit(ctx context.Context, instance string, claims map[owner][]cluster.Claim, to map[owner]string) error {
	if instance == s.core.front {
		return nil
	}
	var some []string
	for o := range claims {
		if to[o] != "" {
			some = append(some, o.account)
		}
	}
	switch len(some) {
	case 0:
		return nil
	case len(claims):
		some = nil
	}
	slices.Sort(some)
	return writeList(ctx, s.core.store.Datastore(), heirsKey, s.cluster.Inherit(instance, some...))
}

// heirOf finds who gets the requests of an account; id is "" if nobody does.
func (s clusterService) heirOf(ctx context.Context, account string, in admin.ClusterImport) (id, email string, err error) {
	if at := in.Accounts[account]; at != "" {
		a, err := s.core.auth.AccountByEmail(ctx, at)
		if err != nil {
			return "", "", fmt.Errorf("find %s: %w", at, err)
		}
		return a.ID, a.Email, nil
	}
	a, err := s.core.auth.AccountByID(ctx, account)
	if err == nil {
		return a.ID, a.Email, nil
	}
	if !errors.Is(err, auth.ErrNoAccount) {
		return "", "", err
	}
	if in.Rest == "" {
		return "", "", nil
	}
	if a, err = s.core.auth.AccountByEmail(ctx, in.Rest); err != nil {
		return "", "", fmt.Errorf("find %s: %w", in.Rest, err)
	}
	return a.ID, a.Email, nil
}

// notShared returns an error if a DAG that some account here gets was also pinned by one that nobody
// stands for: the import would take that one's request out of the pinset.
func notShared(claims map[owner][]cluster.Claim, to map[owner]string) error {
	taken := make(map[pin.DAG]struct{})
	for o, all := range claims {
		for _, c := range all {
			if to[o] != "" {
				taken[c.Spec.DAG()] = struct{}{}
			}
		}
	}
	for o, all := range claims {
		for _, c := range all {
			if _, shared := taken[c.Spec.DAG()]; shared && to[o] == "" {
				return &admin.StatusError{
					Status: http.StatusConflict,
					Err:    fmt.Errorf("account %s had pinned %s too, and no account here gets its pins: the import would lose that", o.account, c.Spec.CID),
					Hint:   "name accounts for all that had pins with --account ID=EMAIL, or one for the rest with --rest EMAIL",
				}
			}
		}
	}
	return nil
}

// importFor makes the requests of one account, but for those that the account here has by now: an
// import may be done again.
func (s clusterService) importFor(ctx context.Context, claims []cluster.Claim, to string) (made int, err error) {
	var was []pin.Request
	for _, c := range claims {
		has, err := s.has(ctx, to, c.Spec)
		if err != nil {
			return 0, err
		}
		if !has {
			// The cluster has it, or is getting it. No quota applies to what was pinned.
			was = append(was, pin.Request{ID: c.Request, Account: to, Spec: c.Spec, Created: madeAt(c.Request), Status: pin.Pinned})
		}
	}
	slices.SortFunc(was, func(a, b pin.Request) int { return a.Created.Compare(b.Created) })
	for some := range slices.Chunk(was, pin.RestoresAtOnce) {
		n, err := s.pins.Restore(ctx, s.core.store, to, some)
		made += n
		if err != nil {
			return made, err
		}
	}
	return made, nil
}

// has reports whether an account has a request for a DAG under the same name that has not failed.
func (s clusterService) has(ctx context.Context, account string, of pin.Spec) (bool, error) {
	const limit = 1000 // of one account for one DAG; with more, an import done twice may make some twice
	page, err := s.core.store.List(ctx, account, pin.Query{
		Statuses: []pin.Status{pin.Queued, pin.Pinning, pin.Pinned}, DAGs: []pin.DAG{of.DAG()}, Limit: limit,
	})
	if err != nil {
		return false, fmt.Errorf("look whether account %s has %s: %w", account, of.CID, err)
	}
	return slices.ContainsFunc(page.Requests, func(r pin.Request) bool { return r.Name == of.Name }), nil
}

// madeAt is when a request was made, by its ID; now if that does not say it.
func madeAt(id string) time.Time {
	if at, ok := cluster.MadeAt(id); ok {
		return at
	}
	return time.Now().UTC().Truncate(time.Millisecond)
}
