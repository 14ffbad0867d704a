package daemon

import (
	"bytes"
	"context"
	"os"
	"runtime/pprof"
	"time"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/doctor"
)

// self is what a program knows of itself, for [admin.Self].
type self struct{ *Program }

// Condition implements [admin.Self].
func (p self) Condition(ctx context.Context) (admin.Condition, error) {
	why, cause := p.probes().unready(ctx)
	if err := ctx.Err(); err != nil {
		return admin.Condition{}, err
	}
	if cause != nil {
		why += ": " + cause.Error()
	}
	damaged, err := p.core.store.DamagedFiles()
	if err != nil {
		return admin.Condition{}, err
	}
	is := admin.Condition{
		PID: os.Getpid(), Version: p.Version, Started: p.started.UTC(), Now: time.Now().UTC(), Unready: why,
		Memory: p.Machine.Memory, Files: p.filesLimit,
		DamagedFiles: damaged, UnreadableBlocks: p.core.store.FoundDamage().Blocks,
		KeptFree: uint64(p.Config.Store.MinFreeSpace),
	}
	if is.Free, err = p.core.store.Free(); err != nil {
		return admin.Condition{}, err
	}
	right, known := doctor.ThisHost(p.Log).Synchronised()
	is.ClockOff = known && !right
	n := p.nodeStats()
	is.Network = admin.NetworkCondition{
		PeerID: p.nodeID(), Addresses: p.nodeAddrs(), Received: n.BytesReceived, Served: n.BytesServed,
		Peers: n.Peers, Relayed: p.node != nil && p.node.Relayed(),
	}
	if a := n.Provide; a != nil {
		is.Announcing = &admin.AnnouncingCondition{
			Strategy: string(a.Strategy), Interval: a.Interval, Online: a.Online, NoAddress: a.NoAddress,
			Keys: a.Keys, Waiting: a.QueuedKeys, Late: a.Lag(is.Now), Last: a.LastTold.UTC(), Oldest: a.Stalest.UTC(),
		}
	}
	if open, err := os.ReadDir(openFilesDir); err == nil {
		is.OpenFiles = uint64(len(open))
	}
	if err := p.core.store.Sound(); err != nil {
		is.Damage = err.Error()
	}
	if p.node == nil {
		is.Cluster = p.clusterCondition()
	} else if reached, ok := p.node.Reached(); ok {
		is.Network.Asked = true
		is.Network.Reached, is.Network.NotReached, is.Network.Unknown = reached.Yes, reached.No, reached.Unknown
	}
	if p.Config.Backup.To != "" {
		state := p.backups.State()
		is.Backup = &admin.BackupCondition{Last: state.Last, Failed: state.Failed, Old: p.backups.old(is.Now)}
	}
	return is, nil
}

// Support implements [admin.Self].
func (p self) Support(context.Context) (admin.Support, error) {
	var stacks bytes.Buffer
	const asPanicsPrint = 2
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, asPanicsPrint); err != nil {
		return admin.Support{}, err
	}
	all := admin.Support{Goroutines: stacks.String(), Settings: config.Values(p.Config)}
	if p.LastLines != nil {
		all.Log = p.LastLines.String()
	}
	return all, nil
}
