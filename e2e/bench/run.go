package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// run is one round of everything, with a fresh Kubo and a fresh Holdfast.
type run struct {
	rig     *rig.Rig
	source  *rig.Kubo
	content *content
	results *results
	last    bool
	say     func(string, ...any)

	kubo   *rig.Kubo
	server *rig.Server
	client *rig.Client
}

func (r *run) all(ctx context.Context) (err error) {
	if r.kubo, err = r.rig.StartKubo(ctx, "kubo", withGateway); err != nil {
		return err
	}
	defer os.RemoveAll(r.kubo.Repo) // the next run needs the space too
	defer r.kubo.Kill()
	if err := r.kubo.Connect(ctx, r.source.Addrs[0]); err != nil {
		return err
	}
	if r.server, r.client, err = startHoldfast(ctx, r.rig, map[string]string{"HOLDFAST_GATEWAY_LISTEN": "127.0.0.1:0"}); err != nil {
		return err
	}
	defer os.RemoveAll(r.server.Data.Dir)
	defer r.server.Kill()

	stop := r.results.peaks.watch(r.kubo.PID(), r.server.PID())
	err = errors.Join(r.pins(ctx), r.replace(ctx), stop())
	if err == nil {
		stop := r.results.outPeaks.watch(r.kubo.PID(), r.server.PID())
		err = errors.Join(r.cars(ctx), stop())
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, r.server.Tail())
	}
	if r.last {
		m, err := settledMemory(ctx, r.server.PID())
		if err != nil {
			return err
		}
		r.results.idle = m
	}
	if err := r.server.Stop(); err != nil {
		return fmt.Errorf("stop holdfast: %w\n%s", err, r.server.Tail())
	}
	r.kubo.Kill()
	return r.uploads(ctx)
}

// pins pins every DAG with both servers in turns. It unpins the directory of small files as soon as
// that is pinned, while 100,000 other blocks stay.
func (r *run) pins(ctx context.Context) error {
	for _, d := range r.content.pinned() {
		kubo, err := pinInKubo(ctx, r.kubo, d.cid)
		if err != nil {
			return fmt.Errorf("pin %s in Kubo: %w", d.name, err)
		}
		holdfast, id, err := pinInHoldfast(ctx, r.client, d.cid, r.source.Addrs)
		if err != nil {
			return fmt.Errorf("pin %s in Holdfast: %w", d.name, err)
		}
		r.results.add(d.name, kubo, holdfast)
		r.say("%s: Kubo %.2f s, Holdfast %.2f s", d.name, kubo.Seconds(), holdfast.Seconds())
		if d == r.content.small {
			if err := r.unpin(ctx, d, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) unpin(ctx context.Context, d dag, id string) error {
	kubo, err := unpinInKubo(ctx, r.kubo, d.cid)
	if err != nil {
		return fmt.Errorf("unpin %s in Kubo: %w", d.name, err)
	}
	holdfast, err := unpinInHoldfast(ctx, r.server, r.client, id)
	if err != nil {
		return fmt.Errorf("unpin %s in Holdfast: %w", d.name, err)
	}
	r.results.add(unpinRow, kubo, holdfast)
	r.say("%s: Kubo %.2f s, Holdfast %.2f s", unpinRow, kubo.Seconds(), holdfast.Seconds())
	return nil
}

// replace pins one version of a directory and then, in its place, the next.
func (r *run) replace(ctx context.Context) error {
	first, id, err := pinInHoldfast(ctx, r.client, r.content.old, r.source.Addrs)
	if err != nil {
		return fmt.Errorf("pin the first version: %w", err)
	}
	if err := settle(); err != nil {
		return fmt.Errorf("before the next version: %w", err)
	}
	began := time.Now()
	s, err := r.client.Replace(ctx, id, rig.Pin{CID: r.content.new, Origins: r.source.Addrs})
	if err == nil {
		_, err = r.client.WaitStatus(ctx, s.RequestID, "pinned", poll)
	}
	if err != nil {
		return fmt.Errorf("replace it by the next version: %w", err)
	}
	next := time.Since(began)
	r.results.first = append(r.results.first, first)
	r.results.next = append(r.results.next, next)
	r.say("replace: %.3f s after %.2f s", next.Seconds(), first.Seconds())
	return nil
}

// startHoldfast starts a server on a fresh directory, with more environment unless that is nil, and
// logs in.
func startHoldfast(ctx context.Context, r *rig.Rig, env map[string]string) (*rig.Server, *rig.Client, error) {
	const email, password = "bench@example.org", "correct horse battery staple"
	d, err := r.NewData()
	if err != nil {
		return nil, nil, err
	}
	maps.Copy(d.Env, env)
	d.Env["HOLDFAST_NODE_ALLOW_PRIVATE_ADDRESSES"] = "true"
	if err := d.AddUser(ctx, email, password); err != nil {
		return nil, nil, err
	}
	s, err := d.Serve(ctx)
	if err != nil {
		return nil, nil, err
	}
	token, err := rig.Login(ctx, s.HTTP, email, password)
	if err != nil {
		s.Kill()
		return nil, nil, err
	}
	return s, rig.NewClient(s.HTTP, token), nil
}

// poll is the time between two checks whether something is done.
const poll = 2 * time.Millisecond

// pinInKubo times the command, from its start to its end.
func pinInKubo(ctx context.Context, k *rig.Kubo, cid string) (time.Duration, error) {
	if err := settle(); err != nil {
		return 0, err
	}
	began := time.Now()
	_, err := k.Run(ctx, nil, "pin", "add", "--progress=false", cid)
	return time.Since(began), err
}

// pinInHoldfast times a pin from the request until the server says pinned.
func pinInHoldfast(ctx context.Context, c *rig.Client, cid string, origins []string) (time.Duration, string, error) {
	// Ten times what Kubo took here for the slowest of the DAGs.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := settle(); err != nil {
		return 0, "", err
	}
	began := time.Now()
	s, err := c.Add(ctx, rig.Pin{CID: cid, Origins: origins})
	if err != nil {
		return 0, "", err
	}
	_, err = c.WaitStatus(ctx, s.RequestID, "pinned", poll)
	return time.Since(began), s.RequestID, err
}

// unpinInKubo times the two commands that unpin a DAG and give its space back.
func unpinInKubo(ctx context.Context, k *rig.Kubo, cid string) (time.Duration, error) {
	if err := settle(); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := k.Run(ctx, nil, "pin", "rm", cid); err != nil {
		return 0, err
	}
	_, err := k.Run(ctx, nil, "repo", "gc", "--quiet")
	return time.Since(began), err
}

// unpinInHoldfast times the request and the command that do the same.
func unpinInHoldfast(ctx context.Context, s *rig.Server, c *rig.Client, id string) (time.Duration, error) {
	if err := settle(); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := c.Remove(ctx, id); err != nil {
		return 0, err
	}
	_, err := s.Data.Run(ctx, nil, "store", "reclaim")
	return time.Since(began), err
}
