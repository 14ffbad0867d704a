package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	bsnetwork "github.com/ipfs/boxo/bitswap/network"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/exchange"
	"github.com/holdfast-ipfs/holdfast/node/trustless"
	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// answers are gateways in memory, by host: what there is to fetch by HTTP in a bubble.
type answers struct {
	mu    sync.Mutex
	hosts map[string]map[string]blocks.Block
	odd   func(host string, c cid.Cid, nth int) *http.Response // nil is the block
	asked map[string]int                                       // by host and multihash
}

const gatewayDelay = 10 * time.Millisecond

func (g *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	c, err := cid.Decode(strings.TrimPrefix(r.URL.Path, "/ipfs/"))
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	key := r.URL.Hostname() + string(c.Hash())
	g.asked[key]++
	nth := g.asked[key]
	b, ok := g.hosts[r.URL.Hostname()][string(c.Hash())]
	g.mu.Unlock()
	delay := gatewayDelay
	var answer *http.Response
	if g.odd != nil {
		if answer = g.odd(r.URL.Hostname(), c, nth); answer != nil && answer.Body == nil {
			delay = time.Hour // nothing comes
		}
	}
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	switch {
	case answer != nil:
		return answer, nil
	case !ok:
		return reply(http.StatusNotFound, "not here", nil), nil
	}
	return reply(http.StatusOK, string(b.RawData()), nil), nil
}

func reply(status int, body string, header http.Header) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{
		StatusCode: status, Header: header, ContentLength: int64(len(body)),
		Body: io.NopCloser(strings.NewReader(body)),
	}
}

func (g *answers) count(host string, c cid.Cid) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked[host+string(c.Hash())]
}

// nobody is a network without peers.
type nobody struct{ exchange.Network }

var errNobody = errors.New("nobody is there")

func (nobody) Connect(context.Context, peer.AddrInfo) error { return errNobody }
func (nobody) NewMessageSender(context.Context, peer.ID, *bsnetwork.MessageSenderOpts) (bsnetwork.MessageSender, error) {
	return nil, errNobody
}

// everywhere says of every block that hosts have it.
type everywhere struct {
	mu    sync.Mutex
	hosts []string
}

func (e *everywhere) Find(context.Context, string, cid.Cid) <-chan peer.AddrInfo {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make(chan peer.AddrInfo, len(e.hosts))
	for _, h := range e.hosts {
		out <- peer.AddrInfo{ID: peer.ID(h), Addrs: []ma.Multiaddr{ma.StringCast("/dns4/" + h + "/tcp/443/tls/http")}}
	}
	close(out)
	return out
}

// pinning is an exchange over gateways, and the walks of pins that use it.
type pinning struct {
	*answers
	found *everywhere
	x     *exchange.Exchange
	logs  *logtest.Buffer
}

func newPinning(g *answers) *pinning {
	p := &pinning{answers: g, found: &everywhere{hosts: []string{"one.example"}}, logs: new(logtest.Buffer)}
	gs := &gateways{trustless.New(trustless.Config{Transport: g})}
	p.x = exchange.New(exchange.Config{Network: nobody{}, Finder: p.found, Gateways: gs.of, Logger: slog.New(slog.NewTextHandler(p.logs, nil))})
	return p
}

// pin walks a DAG. done gives how long it took, once it is here.
func (p *pinning) pin(t *testing.T, ctx context.Context, all []blocks.Block) (job pin.Job, done <-chan time.Duration) {
	t.Helper()
	job = newJob(dagtest.Last(all))
	store := walktest.NewStore(t)
	began := time.Now()
	ended := make(chan time.Duration, 1)
	go func() {
		s := p.x.NewSession(string(job.DAG), nil)
		defer s.Close()
		_, err := walk.Run(ctx, walk.Config{Store: store, Asker: s, Dir: t.TempDir()}, job)
		if err == nil {
			ended <- time.Since(began)
		} else if ctx.Err() == nil {
			t.Error(err)
		}
		close(ended)
	}()
	return job, ended
}

// A gateway answers oddly for one block of a pin, once or always. Others are not slowed
// down by it, and that pin is pinned if it was once or somebody else has the block; else
// what it waits for says which block it is, who answers, and what.
func TestOneOddAnswerOfAGateway(t *testing.T) {
	innocent := dagtest.Tree(dagtest.Leaves(2000, 100), 174)
	affected := dagtest.Tree(dagtest.Leaves(303, 120), 174)
	odd := affected[150].Cid()
	have := map[string]blocks.Block{}
	for _, b := range append(innocent, affected...) {
		have[string(b.Cid().Hash())] = b
	}
	alone := func(t *testing.T) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			p := newPinning(&answers{hosts: map[string]map[string]blocks.Block{"one.example": have}, asked: map[string]int{}})
			_, done := p.pin(t, t.Context(), innocent)
			took = <-done
			p.x.Close()
		})
		return took
	}(t)
	if alone == 0 || alone > 5*time.Second {
		t.Fatalf("alone it takes %v", alone)
	}
	large := string(bytes.Repeat([]byte{1}, 5<<20))
	for name, c := range map[string]struct {
		answer func() *http.Response
		says   string
	}{
		"odd bytes":            {func() *http.Response { return reply(200, "<html>", nil) }, "6 bytes that are not the block"},
		"other bytes":          {func() *http.Response { return reply(200, string(innocent[0].RawData()), nil) }, "100 bytes that are not the block"},
		"400":                  {func() *http.Response { return reply(400, "bad", nil) }, "answers 400"},
		"429":                  {func() *http.Response { return reply(429, "less", nil) }, "busy: 429"},
		"500":                  {func() *http.Response { return reply(500, "oh", nil) }, "answers 500"},
		"503":                  {func() *http.Response { return reply(503, "busy", nil) }, "busy: 503"},
		"503 with Retry-After": {func() *http.Response { return reply(503, "busy", http.Header{"Retry-After": {"20"}}) }, "busy for 20s: 503"},
		"504":                  {func() *http.Response { return reply(504, "late", nil) }, "busy: 504"},
		"too large":            {func() *http.Response { return reply(200, large, nil) }, "5242880 bytes for a block of at most 4194304"},
		"slow":                 {func() *http.Response { return &http.Response{} }, "nothing came for 10s"},
		"404":                  {func() *http.Response { return reply(404, "no", nil) }, "no connected peer has 1 of the blocks"},
	} {
		for _, always := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, always %v", name, always), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := &answers{hosts: map[string]map[string]blocks.Block{"one.example": have, "two.example": have}, asked: map[string]int{}}
					g.odd = func(host string, k cid.Cid, nth int) *http.Response {
						if host == "one.example" && string(k.Hash()) == string(odd.Hash()) && (always || nth == 1) {
							return c.answer()
						}
						return nil
					}
					p := newPinning(g)
					ctx, cancel := context.WithCancel(t.Context())
					defer p.x.Close()
					defer cancel()
					hit, hitDone := p.pin(t, ctx, affected)
					_, done := p.pin(t, ctx, innocent)
					if took := <-done; took > alone*3/2 {
						t.Errorf("the other pin took %v, alone %v", took, alone)
					}
					if !always {
						select {
						case <-hitDone:
						case <-time.After(3 * time.Minute):
							t.Errorf("it is not pinned: %s", hit.Progress.Note())
						}
						return
					}
					time.Sleep(time.Minute)
					select {
					case <-hitDone:
						t.Fatal("it is pinned")
					default:
					}
					if note := hit.Progress.Note(); !strings.Contains(note, odd.String()) || !strings.Contains(note, c.says) ||
						name != "404" && !strings.Contains(note, "https://one.example") {
						t.Errorf("it waits for %q", note)
					}
					if n := g.count("one.example", odd); n > 4 {
						t.Errorf("the odd block was asked for %d times", n)
					}
					if n := int(hit.Progress.Blocks.Load()); n != len(affected)-1 {
						t.Errorf("%d of %d other blocks are here", n, len(affected)-1)
					}
					if lines := strings.Count(p.logs.String(), "\n"); lines > 1 {
						t.Errorf("%d lines are logged:\n%s", lines, p.logs.String())
					}
					// Somebody else has it.
					p.found.mu.Lock()
					p.found.hosts = append(p.found.hosts, "two.example")
					p.found.mu.Unlock()
					select {
					case <-hitDone:
					case <-time.After(3 * time.Minute):
						t.Errorf("it is not pinned when another has the block: %s", hit.Progress.Note())
					}
				})
			})
		}
	}
}

// A pin of which two blocks are missing says within 20 s which they are, how many, and who
// was asked; it goes on saying so.
func TestMissingBlocksAreNamed(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(1000, 100), 100)
	leaf, node := all[150].Cid(), all[1000].Cid() // the node is that of the first 100 leaves
	synctest.Test(t, func(t *testing.T) {
		have := map[string]blocks.Block{}
		for _, b := range all {
			if b.Cid() != leaf && b.Cid() != node {
				have[string(b.Cid().Hash())] = b
			}
		}
		p := newPinning(&answers{hosts: map[string]map[string]blocks.Block{"one.example": have}, asked: map[string]int{}})
		ctx, cancel := context.WithCancel(t.Context())
		defer p.x.Close()
		defer cancel()
		job, _ := p.pin(t, ctx, all)
		for range 3 {
			time.Sleep(20 * time.Second)
			synctest.Wait()
			note := job.Progress.Note()
			for _, part := range []string{leaf.String(), node.String(), " 2 of the blocks", "asked of 0 peers and 1 gateway", "others came from gateway https://one.example"} {
				if !strings.Contains(note, part) {
					t.Errorf("%q is not in %q", part, note)
				}
			}
		}
	})
}
