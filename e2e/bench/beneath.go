package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

const (
	beneathNodes = 3
	beneathRF    = 2       // how many of the nodes pin a block
	beneathPins  = 128     // so many calls a node has under way
	beneathBlock = 1 << 10 // the size of a block
)

// onlyBeneath measures what n pins of one block each cost nodes beneath a cluster: three are connected to
// each other and to the source, and get the calls by the RPC that three peers of ipfs-cluster make. Two
// pin a block, and the third is told to unpin it. In every run the blocks are others.
//
// Processor time is that of all nodes until they are idle, for each copy. The client that makes the
// calls takes much less than a cluster, so this can be compared on a machine with other work. With
// o.beside, it measures that binary and this one in turns.
func onlyBeneath(ctx context.Context, r *rig.Rig, o options, source *rig.Kubo, out io.Writer, say func(string, ...any)) error {
	binaries := []string{r.Holdfast}
	if o.beside != "" {
		other, err := filepath.Abs(o.beside)
		if err != nil {
			return err
		}
		binaries = []string{other, r.Holdfast}
	}
	defer func(was string) { r.Holdfast = was }(r.Holdfast)
	took := new([2][]measured)
	for i := range o.runs {
		cids, err := oneBlocks(ctx, source, uint64(20+i), o.beneath)
		if err != nil {
			return err
		}
		order := []int{0, 1}[:len(binaries)]
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, side := range order {
			if err := settle(); err != nil {
				return err
			}
			r.Holdfast = binaries[side]
			m, err := beneath(ctx, r, source, cids)
			if err != nil {
				return err
			}
			took[side] = append(took[side], m)
			say("run %d of %d, %s: %.2f s, %.0f µs of processor for each copy", i+1, o.runs, filepath.Base(binaries[side]), m.wall.Seconds(), m.copy(o.beneath))
		}
	}
	if o.beside != "" {
		name := fmt.Sprintf("%d pins of one block, %d copies", o.beneath, beneathRF)
		return printBeside(out, []string{name}, map[string]*[2][]measured{name: took}, o.runs)
	}
	var wall, cpu []time.Duration
	for _, m := range took[0] {
		wall, cpu = append(wall, m.wall), append(cpu, m.cpu)
	}
	m := measured{median(wall), median(cpu)}
	_, err := fmt.Fprintf(out, "%d pins of one block, %d copies of %d nodes, %s: %.2f s, %.0f µs of processor for each copy\n",
		o.beneath, beneathRF, beneathNodes, medianOf(o.runs), m.wall.Seconds(), m.copy(o.beneath))
	return err
}

// copy is the processor time for each copy of n pins, in microseconds.
func (m measured) copy(n int) float64 { return float64(m.cpu.Microseconds()) / float64(n*beneathRF) }

// oneBlocks adds n blocks to a Kubo, and gives their CIDs.
func oneBlocks(ctx context.Context, k *rig.Kubo, seed uint64, n int) (cids []string, err error) {
	if _, err := k.AddFile(ctx, rig.Random(seed, int64(n)*beneathBlock), beneathBlock); err != nil {
		return nil, err
	}
	for b := range slices.Chunk(rig.RandomBytes(seed, n*beneathBlock), beneathBlock) {
		cids = append(cids, rig.CID(rig.CodecRaw, b))
	}
	return cids, nil
}

// beneath starts fresh nodes of the binary r.Holdfast, and makes the calls.
func beneath(ctx context.Context, r *rig.Rig, source *rig.Kubo, cids []string) (m measured, err error) {
	var nodes []*rig.Server
	var peering []string
	defer func() {
		for _, n := range nodes {
			n.Kill()
			err = errors.Join(err, os.RemoveAll(filepath.Dir(n.Data.Dir)))
		}
	}()
	for range beneathNodes {
		d, err := r.NewData()
		if err != nil {
			return m, err
		}
		d.Env["HOLDFAST_NODE_LISTEN"] = "/ip4/127.0.0.1/tcp/0"
		d.Env["HOLDFAST_RPC_LISTEN"] = "127.0.0.1:0"
		d.Env["HOLDFAST_NODE_PEERING"] = strings.Join(peering, ",")
		s, err := d.Serve(ctx)
		if err != nil {
			return m, err
		}
		nodes = append(nodes, s)
		peering = append(peering, s.Addrs[0])
		if err := source.Connect(ctx, s.Addrs[0]); err != nil {
			return m, err
		}
	}
	all := func(of func(ctx context.Context, pid int) (time.Duration, error)) (sum time.Duration, err error) {
		for _, n := range nodes {
			d, err := of(ctx, n.PID())
			if err != nil {
				return 0, err
			}
			sum += d
		}
		return sum, nil
	}
	before, err := all(idleCPUTime)
	if err != nil {
		return m, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * beneathPins}}
	defer client.CloseIdleConnections()
	began := time.Now()
	calls, each := errgroup.WithContext(ctx)
	for i, n := range nodes {
		pins := new(errgroup.Group)
		pins.SetLimit(beneathPins)
		calls.Go(func() error {
			for k, c := range cids {
				call := pinAdd
				if (k+i)%beneathNodes >= beneathRF {
					call = unpinNothing
				}
				pins.Go(func() error { return call(each, client, n, c) })
			}
			return pins.Wait()
		})
	}
	if err := calls.Wait(); err != nil {
		for _, n := range nodes {
			err = fmt.Errorf("%w\n%s", err, n.Tail())
		}
		return m, err
	}
	m.wall = time.Since(began)
	after, err := all(idleCPUTime)
	m.cpu = after - before
	for _, n := range nodes {
		err = errors.Join(err, n.Stop())
	}
	return m, err
}

// pinAdd pins as a peer of ipfs-cluster does, which reads the progress until it ends.
func pinAdd(ctx context.Context, client *http.Client, n *rig.Server, c string) error {
	status, body, err := callRPC(ctx, client, n, "pin/add", url.Values{"arg": {c}, "recursive": {"true"}, "progress": {"true"}})
	if err != nil {
		return err
	}
	var last struct{ Pins []string }
	lines := strings.Split(strings.TrimSpace(string(body)), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || status != http.StatusOK || !slices.Equal(last.Pins, []string{c}) {
		return fmt.Errorf("pin/add answers %d: %s", status, body)
	}
	return nil
}

// unpinNothing makes the call that a peer makes for a pin that is not for its node.
func unpinNothing(ctx context.Context, client *http.Client, n *rig.Server, c string) error {
	status, body, err := callRPC(ctx, client, n, "pin/rm", url.Values{"arg": {c}})
	if err == nil && !strings.Contains(string(body), "not pinned") {
		err = fmt.Errorf("pin/rm of what is not pinned answers %d: %s", status, body)
	}
	return err
}

func callRPC(ctx context.Context, client *http.Client, n *rig.Server, command string, q url.Values) (status int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(n.RPC, "/")+"/api/v0/"+command+"?"+q.Encode(), nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return res.StatusCode, body, err
}
