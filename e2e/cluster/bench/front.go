package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// throughFront times pins that accounts ask for at a front, until all are pinned.
func (w *world) throughFront(ctx context.Context, cids []string) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := w.startFront(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	used, err := w.processorTime(s, len(cids))
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := s.pin(ctx, cids); err != nil {
		return 0, err
	}
	if err := s.awaitPinned(ctx, len(cids)); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, s.server.Tail())
	}
	return time.Since(began), used("P8")
}

// pin asks for pins, for all accounts in turns, and gives the ids of the requests.
func (s *service) pin(ctx context.Context, cids []string) (ids []string, err error) {
	var all [accounts]*rig.Client
	for i := range all {
		all[i] = s.client(i)
	}
	ids = make([]string, len(cids))
	err = each(ctx, len(cids), func(ctx context.Context, i int) error {
		for {
			st, err := all[i%accounts].Add(ctx, rig.Pin{CID: cids[i]})
			// An account that makes more than 1,000 a second is told to wait.
			if refused, ok := errors.AsType[*rig.StatusError](err); ok && refused.Code == http.StatusTooManyRequests {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			ids[i] = st.RequestID
			return err
		}
	})
	return ids, err
}

// awaitPinned waits until so many pins of all accounts are pinned.
func (s *service) awaitPinned(ctx context.Context, n int) error {
	have := 0
	err := rig.Poll(ctx, 200*time.Millisecond, func() (bool, error) {
		have = 0
		for i := range accounts {
			page, err := s.client(i).List(ctx, url.Values{"status": {"pinned"}, "limit": {"1"}})
			if err != nil {
				return false, err
			}
			have += page.Count
		}
		return have >= n, nil
	})
	if err != nil {
		return fmt.Errorf("%d of %d pins are pinned: %w", have, n, err)
	}
	return nil
}

// giveWay lets the peers have only the processor time that nothing else wants, as if they were on
// machines of their own.
func (w *world) giveWay() error {
	const lowest = 19
	for _, p := range w.Peers {
		if err := syscall.Setpriority(syscall.PRIO_PGRP, p.PID(), lowest); err != nil {
			return fmt.Errorf("let a peer give way: %w", err)
		}
	}
	return nil
}

// posts is the part of P8 that is about POST: at a Holdfast alone, and at a front. Nobody has what is
// asked for: the nodes of the cluster find nothing. The peers give way to the front.
func (b *bench) posts(ctx context.Context) error {
	var alone, front []float64
	measure := func(s *service) (float64, error) {
		rate, p99, err := load(ctx, s.addr, s.post, nil)
		b.say("P8: POST %.0f/s, p99 %s", rate, short(p99))
		return rate, errors.Join(err, s.stop())
	}
	for range b.runs {
		s, err := b.startHoldfast(ctx, nil)
		if err != nil {
			return err
		}
		rate, err := measure(s)
		if err != nil {
			return err
		}
		alone = append(alone, rate)
		err = b.over(ctx, nulls, setup{findsNothing: true}, func(w *world) error {
			s, err := w.startFront(ctx)
			if err != nil {
				return err
			}
			if err := w.giveWay(); err != nil {
				return errors.Join(err, s.stop())
			}
			rate, err := measure(s)
			front = append(front, rate)
			return err
		})
		if err != nil {
			return err
		}
	}
	r := row{part: "P8", what: "POST /pins at the front; beside: Holdfast alone", holdfast: fmt.Sprintf("%.0f/s", median(front)), beside: fmt.Sprintf("%.0f/s", median(alone))}
	b.table.add(atLeast(r, median(front)/median(alone), 0.9))
	return nil
}

// hung is P9: requests at a front, at a moderate pace, while a peer hangs.
func (b *bench) hung(ctx context.Context) error {
	source, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer source.Kill()
	n := b.of(500)
	cids, err := oneBlock(ctx, source, 13, n+2000)
	if err != nil {
		return err
	}
	return b.over(ctx, holdfasts, setup{source: source}, func(w *world) error { return w.hung(ctx, cids[:n], cids[n:]) })
}

func (w *world) hung(ctx context.Context, cids, more []string) (err error) {
	s, err := w.startFront(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ids, err := s.pin(ctx, cids)
	if err == nil {
		err = s.awaitPinned(ctx, len(cids))
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, s.server.Tail())
	}
	quiet, err := s.paced(ctx, ids, more[:len(more)/2], 5*time.Second)
	if err != nil {
		return err
	}
	last := w.Peers[len(w.Peers)-1]
	if err := last.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, last.Signal(syscall.SIGCONT)) }()
	var global time.Duration
	var asking sync.WaitGroup
	asking.Go(func() { // what cluster itself takes for one status
		began := time.Now()
		_, _ = w.Peers[0].Status(ctx, cids[0]) // it may fail: only the time counts
		global = time.Since(began)
	})
	took, err := s.paced(ctx, ids, more[len(more)/2:], 20*time.Second)
	asking.Wait()
	if err != nil {
		return err
	}
	w.b.say("P9: %d requests, p99 %s, without a peer that hangs %s", len(took), short(percentile99(took)), short(percentile99(quiet)))
	r := row{part: "P9", what: "p99 of requests at the front, a peer hangs for 20 s; beside: before it hung", holdfast: short(percentile99(took)), beside: short(percentile99(quiet))}
	w.b.table.add(within(r, percentile99(took), 50*time.Millisecond))
	w.b.table.add(row{part: "P9", what: "one status of a pin by cluster itself meanwhile", beside: short(global)})
	return nil
}

// paced makes requests at a front, of every kind and by some clients, for some time.
func (s *service) paced(ctx context.Context, ids, cids []string, lasts time.Duration) ([]time.Duration, error) {
	const users, pause = 8, 20 * time.Millisecond // some 300 requests a second
	took, errs := make([][]time.Duration, users), make([]error, users)
	var all sync.WaitGroup
	began := time.Now()
	for u := range users {
		all.Go(func() {
			c := s.client(u)
			for i := 0; time.Since(began) < lasts && errs[u] == nil; i++ {
				at := time.Now()
				switch i % 4 {
				case 0, 1: // pins are given to the accounts in turns
					_, errs[u] = c.Get(ctx, ids[(i*accounts+u)%(len(ids)-len(ids)%accounts)])
				case 2:
					_, errs[u] = c.List(ctx, url.Values{"limit": {"10"}, "status": {"queued,pinning,pinned,failed"}})
				case 3:
					_, errs[u] = c.Add(ctx, rig.Pin{CID: cids[(i*users+u)%len(cids)]})
				}
				took[u] = append(took[u], time.Since(at))
				time.Sleep(pause)
			}
		})
	}
	all.Wait()
	var times []time.Duration
	for _, t := range took {
		times = append(times, t...)
	}
	return times, errors.Join(errs...)
}
