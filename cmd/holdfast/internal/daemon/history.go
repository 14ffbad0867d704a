package daemon

import (
	"context"
	"time"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// keepHistory samples the server until ctx ends. What cannot be read is 0 in a sample.
func (p *Program) keepHistory(ctx context.Context) {
	tick := time.NewTicker(admin.HourStep)
	defer tick.Stop()
	for {
		p.history.Add(p.sample(ctx))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *Program) sample(ctx context.Context) admin.Sample {
	s := admin.Sample{Time: time.Now().UTC(), Memory: heldMemory()}
	n := p.nodeStats()
	s.Received, s.Served, s.Peers = n.BytesReceived, n.BytesServed, uint64(n.Peers)
	queue, err := p.core.store.Queue(ctx)
	if err != nil {
		p.Log.Debug("a sample lacks the pins", "err", err)
	} else {
		s.Pinned, s.Pinning = queue.Requests[pin.Pinned], queue.Requests[pin.Pinning]
		s.Queued, s.Failed = queue.Requests[pin.Queued], queue.Requests[pin.Failed]
	}
	if s.Disk, err = p.core.store.DiskUse(); err != nil {
		p.Log.Debug("a sample lacks the use of the disk", "err", err)
	}
	if s.Free, err = p.core.store.Free(); err != nil {
		p.Log.Debug("a sample lacks the free space", "err", err)
	}
	return s
}
