//lint:file-ignore SA1019 programs still have the older client, so it is tried as well

package clients

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	boxo "github.com/ipfs/boxo/pinning/remote/client"
	"github.com/ipfs/go-cid"
	old "github.com/ipfs/go-pinning-service-http-client"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
)

// pinner is a client of the pinning API for Go.
type pinner interface {
	add(ctx context.Context, c cid.Cid, with pin) (status, error)
	replace(ctx context.Context, id string, c cid.Cid, with pin) (status, error)
	get(ctx context.Context, id string) (status, error)
	remove(ctx context.Context, id string) error
	list(ctx context.Context, f filter) ([]status, error)
}

// pin is what a pin has beside its CID.
type pin struct {
	name    string
	origins []string
	meta    map[string]string
}

// status is the PSA's PinStatus.
type status struct {
	id, status string
	created    time.Time
	cid        cid.Cid
	pin        pin
	delegates  []multiaddr.Multiaddr
}

// filter is what a list is filtered by. A zero field filters nothing.
type filter struct {
	cids          []cid.Cid
	name          string
	statuses      []string
	before, after time.Time
	limit         int
	meta          map[string]string
}

// TestGoClients has the two clients for Go make every request that they can.
func TestGoClients(t *testing.T) {
	binary := build(t)
	for name, newPinner := range map[string]func(base, token string) pinner{
		"boxo":                           func(base, token string) pinner { return boxoPinner{boxo.NewClient(base, token)} },
		"go-pinning-service-http-client": func(base, token string) pinner { return oldPinner{old.NewClient(base, token)} },
	} {
		t.Run(name, func(t *testing.T) {
			base := serve(t, binary)
			token := login(t, base)
			everyRequest(t, newPinner(base+"/api/psa", token))
			_, err := newPinner(base+"/api/psa", "stolen").add(t.Context(), inline("a"), pin{})
			wantError(t, "a token that does not count", err, "UNAUTHORIZED")
		})
	}
}

// everyRequest adds, lists, gets, replaces and removes.
func everyRequest(t *testing.T, p pinner) {
	ctx := t.Context()
	mine := pin{
		name:    `a name, "100%" & more`,
		origins: []string{"/ip4/127.0.0.1/tcp/9/p2p/12D3KooWGjMCwmf2JqsSg8JRLLoRNvTUfJkS8SYzN4jvTLNGHrWn"},
		meta:    map[string]string{"app": "with a space", "url": "https://example.org/?a=b&c=d"},
	}
	added := must(t)(p.add(ctx, inline("one"), mine))
	if added.id == "" || !added.cid.Equals(inline("one")) || len(added.delegates) == 0 || added.pin.name != mine.name ||
		!slices.Equal(added.pin.origins, mine.origins) || !maps.Equal(added.pin.meta, mine.meta) {
		t.Errorf("added %+v, want %+v", added, mine)
	}
	for got := added; got.status != "pinned"; {
		if got = must(t)(p.get(ctx, added.id)); got.id != added.id || !got.created.Equal(added.created) {
			t.Fatalf("got %+v, want %+v", got, added)
		}
	}
	other := must(t)(p.add(ctx, nobodyHas("two"), pin{name: "other", meta: map[string]string{"app": "other"}}))

	for what, c := range map[string]struct {
		by   filter
		want []status
	}{
		"nothing":                   {filter{}, []status{added}},
		"status":                    {filter{statuses: []string{"queued", "pinning"}}, []status{other}},
		"CID":                       {filter{cids: []cid.Cid{inline("one"), inline("three")}}, []status{added}},
		"another CID":               {filter{cids: []cid.Cid{inline("three")}}, nil},
		"name":                      {filter{name: mine.name}, []status{added}},
		"another name":              {filter{name: "a name"}, nil},
		"before":                    {filter{before: added.created}, nil},
		"after":                     {filter{after: added.created}, nil},
		"just before":               {filter{after: added.created.Add(-time.Millisecond)}, []status{added}},
		"metadata":                  {filter{meta: map[string]string{"app": "with a space"}}, []status{added}},
		"all metadata":              {filter{meta: mine.meta}, []status{added}},
		"other metadata":            {filter{meta: map[string]string{"app": "with"}}, nil},
		"everything, one at a time": {filter{statuses: []string{"queued", "pinning", "pinned", "failed"}, limit: 1}, []status{other, added}},
	} {
		all, err := p.list(ctx, c.by)
		if err != nil {
			t.Errorf("list by %s: %v", what, err)
			continue
		}
		var got, want []string
		for _, one := range all {
			got = append(got, one.id)
		}
		for _, one := range c.want {
			want = append(want, one.id)
		}
		if !slices.Equal(got, want) {
			t.Errorf("list by %s: %q, want %q", what, got, want)
		}
	}

	replaced := must(t)(p.replace(ctx, other.id, inline("three"), pin{name: "new"}))
	if replaced.id == other.id || replaced.pin.name != "new" {
		t.Errorf("replaced by %+v", replaced)
	}
	_, err := p.get(ctx, other.id)
	wantError(t, "get what was replaced", err, "NOT_FOUND")
	_, err = p.replace(ctx, other.id, inline("three"), pin{})
	wantError(t, "replace what was replaced", err, "NOT_FOUND")
	_, err = p.add(ctx, cid.NewCidV1(cid.Raw, insecure(t)), pin{})
	wantError(t, "add with a hash function that is not secure", err, "its hash function, md5, is not supported")
	for _, id := range []string{added.id, replaced.id} {
		if err := p.remove(ctx, id); err != nil {
			t.Error(err)
		}
		wantError(t, "remove twice", p.remove(ctx, id), "NOT_FOUND")
	}
}

func wantError(t *testing.T, what string, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("%s: %v, want %q", what, err, part)
	}
}

// must ends the test on an error.
func must(t *testing.T) func(status, error) status {
	return func(s status, err error) status {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// inline is the CID of a block that is in it, and is pinned at once.
func inline(text string) cid.Cid { return sum(text, multihash.IDENTITY) }

// nobodyHas is the CID of a block that is nowhere.
func nobodyHas(text string) cid.Cid { return sum(text, multihash.SHA2_256) }

func sum(text string, code uint64) cid.Cid {
	mh, err := multihash.Sum([]byte(text), code, -1)
	if err != nil {
		panic(err) // both functions are always there
	}
	return cid.NewCidV1(cid.Raw, mh)
}

func insecure(t *testing.T) multihash.Multihash {
	t.Helper()
	mh, err := multihash.Encode(make([]byte, 16), multihash.MD5)
	if err != nil {
		t.Fatal(err)
	}
	return mh
}

func multiaddrs(texts []string) (all []multiaddr.Multiaddr) {
	for _, text := range texts {
		all = append(all, multiaddr.StringCast(text))
	}
	return all
}

// pinGetter and statusGetter are what both clients return. Their MarshalJSON is of no use: it
// writes no valid JSON for a pin without origins.
type pinGetter interface {
	GetCid() cid.Cid
	GetName() string
	GetOrigins() []string
	GetMeta() map[string]string
}

type statusGetter[S ~string, P pinGetter] interface {
	GetRequestId() string
	GetStatus() S
	GetCreated() time.Time
	GetPin() P
	GetDelegates() []multiaddr.Multiaddr
}

func read[S ~string, P pinGetter](got statusGetter[S, P], err error) (status, error) {
	if err != nil {
		return status{}, err
	}
	p := got.GetPin()
	return status{
		id: got.GetRequestId(), status: string(got.GetStatus()), created: got.GetCreated(), delegates: got.GetDelegates(),
		cid: p.GetCid(), pin: pin{p.GetName(), p.GetOrigins(), p.GetMeta()},
	}, nil
}

func readAll[S ~string, P pinGetter, G statusGetter[S, P]](got []G, err error) (all []status, _ error) {
	for _, g := range got {
		s, err := read[S, P](g, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, err
}

type boxoPinner struct{ c *boxo.Client }

func (b boxoPinner) with(p pin) []boxo.AddOption {
	return []boxo.AddOption{boxo.PinOpts.WithName(p.name), boxo.PinOpts.WithOrigins(multiaddrs(p.origins)...), boxo.PinOpts.AddMeta(p.meta)}
}

func (b boxoPinner) add(ctx context.Context, c cid.Cid, p pin) (status, error) {
	return read[boxo.Status, boxo.PinGetter](b.c.Add(ctx, c, b.with(p)...))
}

func (b boxoPinner) replace(ctx context.Context, id string, c cid.Cid, p pin) (status, error) {
	return read[boxo.Status, boxo.PinGetter](b.c.Replace(ctx, id, c, b.with(p)...))
}

func (b boxoPinner) get(ctx context.Context, id string) (status, error) {
	return read[boxo.Status, boxo.PinGetter](b.c.GetStatusByID(ctx, id))
}

func (b boxoPinner) remove(ctx context.Context, id string) error { return b.c.DeleteByID(ctx, id) }

func (b boxoPinner) list(ctx context.Context, f filter) ([]status, error) {
	var opts []boxo.LsOption
	for _, s := range f.statuses {
		opts = append(opts, boxo.PinOpts.FilterStatus(boxo.Status(s)))
	}
	opts = append(opts, boxo.PinOpts.FilterCIDs(f.cids...), boxo.PinOpts.FilterName(f.name))
	if !f.before.IsZero() {
		opts = append(opts, boxo.PinOpts.FilterBefore(f.before))
	}
	if !f.after.IsZero() {
		opts = append(opts, boxo.PinOpts.FilterAfter(f.after))
	}
	if f.limit > 0 {
		opts = append(opts, boxo.PinOpts.Limit(f.limit))
	}
	if f.meta != nil {
		opts = append(opts, boxo.PinOpts.LsMeta(f.meta))
	}
	return readAll[boxo.Status, boxo.PinGetter](b.c.LsSync(ctx, opts...))
}

type oldPinner struct{ c *old.Client }

func (o oldPinner) with(p pin) []old.AddOption {
	return []old.AddOption{old.PinOpts.WithName(p.name), old.PinOpts.WithOrigins(multiaddrs(p.origins)...), old.PinOpts.AddMeta(p.meta)}
}

func (o oldPinner) add(ctx context.Context, c cid.Cid, p pin) (status, error) {
	return read[old.Status, old.PinGetter](o.c.Add(ctx, c, o.with(p)...))
}

func (o oldPinner) replace(ctx context.Context, id string, c cid.Cid, p pin) (status, error) {
	return read[old.Status, old.PinGetter](o.c.Replace(ctx, id, c, o.with(p)...))
}

func (o oldPinner) get(ctx context.Context, id string) (status, error) {
	return read[old.Status, old.PinGetter](o.c.GetStatusByID(ctx, id))
}

func (o oldPinner) remove(ctx context.Context, id string) error { return o.c.DeleteByID(ctx, id) }

func (o oldPinner) list(ctx context.Context, f filter) ([]status, error) {
	var opts []old.LsOption
	for _, s := range f.statuses {
		opts = append(opts, old.PinOpts.FilterStatus(old.Status(s)))
	}
	opts = append(opts, old.PinOpts.FilterCIDs(f.cids...), old.PinOpts.FilterName(f.name))
	if !f.before.IsZero() {
		opts = append(opts, old.PinOpts.FilterBefore(f.before))
	}
	if !f.after.IsZero() {
		opts = append(opts, old.PinOpts.FilterAfter(f.after))
	}
	if f.limit > 0 {
		opts = append(opts, old.PinOpts.Limit(f.limit))
	}
	if f.meta != nil {
		opts = append(opts, old.PinOpts.LsMeta(f.meta))
	}
	return readAll[old.Status, old.PinGetter](o.c.LsSync(ctx, opts...))
}
