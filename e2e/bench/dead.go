package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

const (
	deadRequests = 1_000_000
	deadAccounts = 16
	deadPosters  = 4 // of each account, at the same time
	// A live pin must be pinned within liveTarget, whatever waits before it.
	liveTarget = 5 * time.Second
	// All requests must have a turn within this time; for fewer requests it is shorter in
	// proportion.
	triedTarget = 20 * time.Minute
	// deadMemory is the limit of the server's own memory.
	deadMemory = 300 << 20
	// If a live pin is not pinned by then, it counts as having taken this long: waiting in
	// order takes hours.
	liveMost = 4 * time.Minute
)

// dead posts requests of 16 accounts for CIDs that nobody has. It measures how long a live pin
// behind them takes, how long it takes until all of them have been tried, and the memory that they
// cost.
func dead(ctx context.Context, r *rig.Rig, requests int, source *rig.Kubo, out io.Writer, say func(string, ...any)) error {
	d, err := r.NewData()
	if err != nil {
		return err
	}
	defer os.RemoveAll(d.Dir)
	d.Env["HOLDFAST_NODE_ALLOW_PRIVATE_ADDRESSES"] = "true"
	const password = "correct horse battery staple"
	email := func(i int) string { return fmt.Sprintf("bench%d@example.org", i) }
	for i := range deadAccounts + 1 {
		if err := d.AddUser(ctx, email(i), password); err != nil {
			return err
		}
	}
	server, err := d.Serve(ctx)
	if err != nil {
		return err
	}
	defer server.Kill()
	clients := make([]*rig.Client, deadAccounts+1) // the last one has no dead pins
	for i := range clients {
		token, err := rig.Login(ctx, server.HTTP, email(i), password)
		if err != nil {
			return err
		}
		clients[i] = rig.NewClient(server.HTTP, token)
	}
	memory := watchOwn(server.PID())
	defer memory.stop()

	began := time.Now()
	say("posting %d requests of %d accounts for CIDs that nobody has", requests, deadAccounts)
	if err := postDead(ctx, clients[:deadAccounts], requests); err != nil {
		return fmt.Errorf("%w\n%s", err, server.Tail())
	}
	posted := time.Since(began)
	say("posted within %s", posted.Round(time.Second))
	var lives [2]time.Duration
	for i, c := range []*rig.Client{clients[0], clients[deadAccounts]} {
		if lives[i], err = pinBehind(ctx, source, c, uint64(7000+i)); err != nil {
			return fmt.Errorf("%w\n%s", err, server.Tail())
		}
		say("a live pin took %s", lives[i].Round(time.Millisecond))
	}
	// As long as it would take at a rate of a sixth of the target.
	longest := 6 * triedTarget * time.Duration(requests) / deadRequests
	waiting := 0
	err = rig.Poll(ctx, time.Second, func() (bool, error) {
		waiting = 0
		for _, c := range clients[:deadAccounts] {
			page, err := c.List(ctx, url.Values{"status": {"queued"}, "limit": {"1"}})
			if err != nil {
				return false, err
			}
			waiting += page.Count
		}
		return waiting == 0 || time.Since(began) > longest, nil
	})
	if err != nil {
		return fmt.Errorf("wait until all were tried: %w\n%s", err, server.Tail())
	}
	tried := time.Since(began)
	peak, err := memory.stop()
	if err != nil {
		return err
	}
	settled, err := settledMemory(ctx, server.PID())
	if err != nil {
		return err
	}
	rate := float64(requests-waiting) / tried.Seconds()
	fmt.Fprintf(out, "\n%d requests of %d accounts for CIDs that nobody has, posted within %s\n\n", requests, deadAccounts, posted.Round(time.Second))
	for i, whose := range []string{"of one of the accounts", "of another account"} {
		fmt.Fprintf(out, "a live pin %s, with an origin: %s; target under %v: %s\n", whose, atMost(lives[i], liveMost), liveTarget, verdict(lives[i] < liveTarget))
	}
	target := triedTarget * time.Duration(requests) / deadRequests
	fmt.Fprintf(out, "all had a first turn %s after the first was posted, %s after the last, %.0f a second; target under %s: %s\n",
		tried.Round(time.Second), (tried - posted).Round(time.Second), rate, target.Round(time.Second), verdict(waiting == 0 && tried < target))
	if waiting > 0 {
		fmt.Fprintf(out, "%d of them had none by then\n", waiting)
	}
	_, err = fmt.Fprintf(out, "memory of its own (RssAnon + RssShmem): %.0f MiB at most, %.0f MiB after that; target under %.0f MiB: %s\n",
		mib(peak), mib(settled.bytes), mib(deadMemory), verdict(peak < deadMemory))
	return err
}

func atMost(d, most time.Duration) string {
	if d >= most {
		return fmt.Sprintf("not within %v", most)
	}
	return d.Round(time.Millisecond).String()
}

// postDead makes each client post its part of the requests.
func postDead(ctx context.Context, clients []*rig.Client, requests int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	each := requests / (len(clients) * deadPosters)
	for i, c := range clients {
		for k := range deadPosters {
			first := uint64(1<<32 + (i*deadPosters+k)*each)
			wg.Go(func() {
				for n := range uint64(each) {
					cid := rig.CID(rig.CodecRaw, rig.RandomBytes(first+n, 64))
					if _, err := c.Add(ctx, rig.Pin{CID: cid}); err != nil {
						cancel(fmt.Errorf("post a dead pin: %w", err))
						return
					}
				}
			})
		}
	}
	wg.Wait()
	return context.Cause(ctx)
}

// pinBehind times a small pin that the source has.
func pinBehind(ctx context.Context, source *rig.Kubo, c *rig.Client, seed uint64) (time.Duration, error) {
	cid, err := source.AddFile(ctx, rig.Random(seed, 200_000), 16<<10)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	s, err := c.Add(ctx, rig.Pin{CID: cid, Origins: source.Addrs})
	if err != nil {
		return 0, err
	}
	status := ""
	err = rig.Poll(ctx, 20*time.Millisecond, func() (bool, error) {
		now, err := c.Get(ctx, s.RequestID)
		status = now.Status
		return status == "pinned" || status == "failed" || time.Since(began) > liveMost, err
	})
	if err == nil && status == "failed" {
		err = fmt.Errorf("the live pin %s failed", cid)
	}
	return time.Since(began), err
}

// ownWatch notes the maximum of memory that a process holds.
type ownWatch struct {
	quit chan struct{}
	once sync.Once
	done chan struct{} // closed when most and err are set
	most uint64
	err  error
}

func watchOwn(pid int) *ownWatch {
	w := &ownWatch{quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			n, err := rig.OwnMemory(pid)
			if err != nil {
				w.err = err
				return
			}
			w.most = max(w.most, n)
			select {
			case <-ticker.C:
			case <-w.quit:
				return
			}
		}
	}()
	return w
}

// stop ends the watch and returns the maximum. It may be called twice.
func (w *ownWatch) stop() (most uint64, err error) {
	w.once.Do(func() { close(w.quit) })
	<-w.done
	return w.most, w.err
}
