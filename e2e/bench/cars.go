package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// withGateway is a Kubo that serves over HTTP what it has.
// Like Holdfast it fetches nothing for that.
var withGateway = rig.KuboOptions{Config: map[string]any{"Addresses.Gateway": "/ip4/127.0.0.1/tcp/0", "Gateway.NoFetch": true}}

// carRows are the CARs that both send: through the gateway, and by the RPC.
var carRows = []row{
	{name: "CAR of 30,451 blocks of 4 KiB", target: 5},
	{name: "the same by dag/export", target: 5},
	{name: "CAR of 1 GiB in 1 MiB blocks", target: 1.8},
	{name: "CAR of 64 MiB of that file", target: 1},
}

// cars reads CARs from both servers in turns. Each is read once before it is timed, so that
// the blocks are in the cache of the system.
func (r *run) cars(ctx context.Context) error {
	below, err := r.kubo.Run(ctx, nil, "refs", r.content.blocks.cid)
	if err != nil {
		return err
	}
	small, _, _ := strings.Cut(below, "\n") // the first of the root's links has 174 nodes with 174 leaves each
	large := r.content.large.cid
	for i, ways := range []struct{ kubo, holdfast func() (io.ReadCloser, error) }{
		r.gateways(ctx, "/ipfs/"+small+"?format=car"),
		{
			func() (io.ReadCloser, error) { return r.kubo.Export(ctx, small) },
			func() (io.ReadCloser, error) {
				return open(ctx, http.MethodPost, r.server.HTTP+"/api/v0/dag/export?arg="+small, "Authorization", "Bearer "+r.client.Token)
			},
		},
		r.gateways(ctx, "/ipfs/"+large+"?format=car"),
		r.gateways(ctx, "/ipfs/"+large+"?format=car&dag-scope=entity&entity-bytes=134217728:201326591"),
	} {
		name := carRows[i].name
		for timed := range 2 {
			n, kubo, err := readAll(ways.kubo)
			if err != nil {
				return fmt.Errorf("read the %s from Kubo: %w", name, err)
			}
			m, holdfast, err := readAll(ways.holdfast)
			if err != nil {
				return fmt.Errorf("read the %s from Holdfast: %w", name, err)
			}
			if n != m {
				return fmt.Errorf("the %s has %d bytes from Kubo, and %d from Holdfast", name, n, m)
			}
			if timed == 1 {
				r.results.add(name, kubo, holdfast)
				r.say("%s: Kubo %.2f s, Holdfast %.2f s", name, kubo.Seconds(), holdfast.Seconds())
			}
		}
	}
	return nil
}

// onlyCARs measures CARs of a fresh Holdfast, and of the source.
func onlyCARs(ctx context.Context, r *rig.Rig, runs int, source *rig.Kubo, out io.Writer, say func(string, ...any)) (err error) {
	c := newContent()
	say("adding to the source: two files")
	if c.blocks.cid, err = addBlocks(ctx, source); err != nil {
		return err
	}
	if c.large.cid, err = addLarge(ctx, source); err != nil {
		return err
	}
	res := &results{rows: slices.Clone(carRows)}
	one := &run{rig: r, source: source, kubo: source, content: c, results: res, say: say}
	if one.server, one.client, err = startHoldfast(ctx, r, map[string]string{"HOLDFAST_GATEWAY_LISTEN": "127.0.0.1:0"}); err != nil {
		return err
	}
	defer os.RemoveAll(one.server.Data.Dir)
	defer one.server.Kill()
	for _, cid := range []string{c.blocks.cid, c.large.cid} {
		if _, _, err := pinInHoldfast(ctx, one.client, cid, source.Addrs); err != nil {
			return fmt.Errorf("%w\n%s", err, one.server.Tail())
		}
	}
	stop := res.outPeaks.watch(source.PID(), one.server.PID())
	for range runs {
		err = errors.Join(err, one.cars(ctx))
	}
	if err = errors.Join(err, stop()); err != nil {
		return err
	}
	if err := printRows(out, res.rows); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\nMemory of its own (RssAnon + RssShmem), at most: Kubo %.0f MiB, Holdfast %.0f MiB\n", mib(res.outPeaks.kubo), mib(res.outPeaks.holdfast))
	return err
}

// gateways asks the gateways of both.
func (r *run) gateways(ctx context.Context, path string) struct{ kubo, holdfast func() (io.ReadCloser, error) } {
	return struct{ kubo, holdfast func() (io.ReadCloser, error) }{
		func() (io.ReadCloser, error) { return open(ctx, http.MethodGet, r.kubo.Gateway+path) },
		func() (io.ReadCloser, error) { return open(ctx, http.MethodGet, r.server.Gateway+path) },
	}
}

func open(ctx context.Context, method, url string, header ...string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s answers %s", url, answer.Status), answer.Body.Close())
	}
	return answer.Body, nil
}

// readAll times an answer from the request to its last byte, and counts its bytes.
func readAll(open func() (io.ReadCloser, error)) (n int64, took time.Duration, err error) {
	if err := settle(); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	body, err := open()
	if err != nil {
		return 0, 0, err
	}
	n, err = io.Copy(io.Discard, body)
	return n, time.Since(began), errors.Join(err, body.Close())
}
