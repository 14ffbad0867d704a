package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

const (
	// The path to the far reader: half round the world.
	farTrip = 200 * time.Millisecond // there and back
	farRate = 25_000_000             // bytes a second, each way
	farSize = 128 << 20
	// farTarget is the least part of the link that the far reader gets.
	farTarget = 0.85

	nearReaders = 50
	nearSize    = 256 << 10 // each reads so much, in blocks of 16 KiB
	nearPause   = time.Second
	// nearTarget is the maximum of the time that near readers take beside the far one, to that
	// which they take alone.
	nearTarget = 1.25
)

// far measures how fast a Kubo far away reads, from a Kubo and from Holdfast, and how long near
// readers take alone and beside it.
func far(ctx context.Context, r *rig.Rig, runs int, source *rig.Kubo, out io.Writer, say func(string, ...any)) error {
	near, err := source.AddFile(ctx, rig.Random(11, nearSize), 16<<10)
	if err != nil {
		return err
	}
	server, client, err := startHoldfast(ctx, r, nil)
	if err != nil {
		return err
	}
	defer os.RemoveAll(server.Data.Dir)
	defer server.Kill()
	if _, _, err := pinInHoldfast(ctx, client, near, source.Addrs); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d MiB to a Kubo behind %v and %d MB/s, in blocks of 256 KiB and of 1 MiB; %d near readers of %d KiB each, in medians of %d\n\n",
		farSize>>20, farTrip, farRate/1_000_000, nearReaders, nearSize>>10, runs)
	at := slices.IndexFunc(server.Addrs, func(a string) bool { return strings.Contains(a, "/tcp/") }) // the path is one of TCP
	if at < 0 {
		return fmt.Errorf("holdfast listens at %v, and not by TCP", server.Addrs)
	}
	for _, chunk := range []int{256 << 10, 1 << 20} {
		content, err := source.AddFile(ctx, rig.Random(uint64(chunk), farSize), chunk)
		if err != nil {
			return err
		}
		if _, _, err := pinInHoldfast(ctx, client, content, source.Addrs); err != nil {
			return err
		}
		if err := farRow(ctx, r, "Kubo", source.Addrs[0], content, "", runs, out, say); err != nil {
			return err
		}
		for _, near := range []string{"", near} {
			if err := farRow(ctx, r, "Holdfast", server.Addrs[at], content, near, runs, out, say); err != nil {
				return fmt.Errorf("%w\n%s", err, server.Tail())
			}
		}
	}
	return nil
}

// farRow measures one server. near is what near readers read; with "" there are none.
func farRow(ctx context.Context, r *rig.Rig, name, addr, content, near string, runs int, out io.Writer, say func(string, ...any)) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	var took, alone, beside []time.Duration
	for range runs {
		if near != "" {
			t, err := readNear(ctx, addr, near)
			if err != nil {
				return fmt.Errorf("near readers of %s: %w", name, err)
			}
			alone = append(alone, t)
		}
		t, b, err := readFar(ctx, r, addr, content, near)
		if err != nil {
			return fmt.Errorf("a far reader of %s: %w", name, err)
		}
		say("%s: %.2f s; near readers %v, and %v beside it", name, t.Seconds(), alone, b)
		took, beside = append(took, t), append(beside, b)
	}
	part := farSize / median(took).Seconds() / farRate
	if near == "" {
		_, err := fmt.Fprintf(out, "%s: %.0f %% of the link, target for Holdfast %.0f %%: %s\n", name, 100*part, 100*farTarget, verdict(part >= farTarget))
		return err
	}
	slower := median(beside).Seconds() / median(alone).Seconds()
	_, err := fmt.Fprintf(out, "%s: %.0f %% of the link beside near readers; these take %.2f times as long, target under %.2f: %s\n",
		name, 100*part, slower, nearTarget, verdict(slower < nearTarget))
	return err
}

// readFar has a fresh Kubo pin something over a long path. Meanwhile near readers read the whole time,
// unless near is "". beside is how long they take for one round, the median.
func readFar(ctx context.Context, r *rig.Rig, addr, content, near string) (took, beside time.Duration, err error) {
	path, err := newPath(addr)
	if err != nil {
		return 0, 0, err
	}
	defer path.close()
	reader, err := r.StartKubo(ctx, "far", rig.KuboOptions{})
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(reader.Repo)
	defer reader.Kill()
	if err := reader.Connect(ctx, path.addr); err != nil {
		return 0, 0, err
	}
	type result struct {
		took time.Duration
		err  error
	}
	done := make(chan result, 1)
	go func() {
		took, err := pinInKubo(ctx, reader, content)
		done <- result{took, err}
	}()
	if near == "" {
		far := <-done
		return far.took, 0, far.err
	}
	time.Sleep(10 * farTrip) // it has all that it may have under way
	var rounds []time.Duration
	for {
		one, err := readNear(ctx, addr, near)
		if err != nil {
			return 0, 0, errors.Join(err, (<-done).err)
		}
		select {
		case far := <-done:
			if len(rounds) == 0 {
				rounds = append(rounds, one)
			}
			return far.took, median(rounds), far.err
		default:
			rounds = append(rounds, one)
			time.Sleep(nearPause)
		}
	}
}

// readNear gives how long readers take that all read the same at the same time.
func readNear(ctx context.Context, addr, content string) (time.Duration, error) {
	from, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return 0, err
	}
	root, err := cid.Decode(content)
	if err != nil {
		return 0, err
	}
	var ready, finished sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, nearReaders)
	for i := range nearReaders {
		ready.Add(1)
		finished.Go(func() {
			errs[i] = func() error {
				fetch, done, err := connectNear(ctx, *from)
				ready.Done()
				if err != nil {
					return err
				}
				defer done()
				<-start
				return fetch(root)
			}()
		})
	}
	ready.Wait()
	began := time.Now()
	close(start)
	finished.Wait()
	return time.Since(began), errors.Join(errs...)
}

// connectNear makes a reader that is connected to a peer. The caller calls done.
func connectNear(ctx context.Context, from peer.AddrInfo) (fetch func(cid.Cid) error, done func(), err error) {
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics())
	if err != nil {
		return nil, nil, err
	}
	blocks := blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))
	exchange := bitswap.New(ctx, bsnet.NewFromIpfsHost(h), nil, blocks) // it has to see the connection come
	done = func() {
		exchange.Close()
		h.Close()
	}
	if err := h.Connect(ctx, from); err != nil {
		done()
		return nil, nil, err
	}
	return func(c cid.Cid) error {
		return merkledag.FetchGraph(ctx, c, merkledag.NewDAGService(blockservice.New(blocks, exchange)))
	}, done, nil
}

// longPath is a way to a peer by TCP that is as long and as fast as said above.
type longPath struct {
	addr string // by which the peer is reached
	l    net.Listener
	to   string
	mu   sync.Mutex
	open []net.Conn
	wg   sync.WaitGroup
}

// newPath begins one to a multiaddr. The caller closes it.
func newPath(to string) (*longPath, error) {
	a, err := ma.NewMultiaddr(to)
	if err != nil {
		return nil, err
	}
	transport, id := peer.SplitAddr(a)
	target, err := manet.ToNetAddr(transport)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &longPath{l: l, to: target.String(), addr: fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", l.Addr().(*net.TCPAddr).Port, id)}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *longPath) close() {
	p.l.Close()
	p.mu.Lock()
	for _, c := range p.open {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *longPath) accept() {
	for {
		near, err := p.l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.to)
		if err != nil {
			near.Close()
			continue
		}
		p.mu.Lock()
		p.open = append(p.open, near, far)
		p.mu.Unlock()
		p.wg.Go(func() { carry(near, far) })
		p.wg.Go(func() { carry(far, near) })
	}
}

// carry takes bytes from one connection to another. Like a router it holds what is on its way, and a
// little more; then the sender has to wait.
func carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	const piece = 16 << 10
	type packet struct {
		data []byte
		at   time.Time // when it arrives
	}
	way := make(chan packet, int(farRate*(farTrip/2+50*time.Millisecond).Seconds())/piece)
	go func() {
		defer close(way)
		free := time.Now() // when the next packet may be sent
		for {
			b := make([]byte, piece)
			n, err := from.Read(b)
			if n > 0 {
				if now := time.Now(); free.Before(now) {
					free = now
				}
				free = free.Add(time.Duration(n) * time.Second / farRate)
				way <- packet{b[:n], free.Add(farTrip / 2)}
			}
			if err != nil {
				return
			}
		}
	}()
	failed := false
	for p := range way {
		time.Sleep(time.Until(p.at))
		if _, err := to.Write(p.data); err != nil && !failed {
			failed = true
			from.Close() // and what is on its way is thrown away
		}
	}
}
