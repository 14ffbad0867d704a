package gateway

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/boxo/files"
	boxo "github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/boxo/namesys"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
)

// People is the part of a gateway that is for browsers: it serves websites, files and pages of
// directories, which the browser has to believe. Each host is a name without a port. Other hosts
// get what they can check, and nothing else.
//
// Scripts of one website must not get at what another one keeps in the browser. By subdomains,
// each CID has an origin of its own, CID.ipfs.HOST, and by a DNSLink each website has its name.
// By paths all have the same origin. There a sandbox gives each page an origin that is nobody's.
type People struct {
	// Hosts serve by subdomains. /ipfs/CID at a host leads to CID.ipfs.HOST.
	Hosts []string
	// PathHosts serve /ipfs/CID itself. They may be IP addresses.
	PathHosts []string
	// DNSLinkHosts serve what their DNSLink names.
	DNSLinkHosts []string
	// LookupTXT looks up the records of a name. It is called for "_dnslink." and one of
	// DNSLinkHosts alone. Nil is for no DNSLinkHosts.
	LookupTXT func(ctx context.Context, name string) ([]string, error)
	// Complete reports whether all that is below a CID is here, for as long as that is so.
	// Of what is not, people get nothing. Nil takes everything for complete.
	Complete func(ctx context.Context, c cid.Cid) (bool, error)
}

// sandbox lets a page do what websites do, in an origin of its own.
const sandbox = "sandbox allow-downloads allow-forms allow-modals allow-popups allow-popups-to-escape-sandbox allow-scripts"

// gateways is how boxo is told of the hosts.
func (p *People) gateways() map[string]*boxo.PublicGateway {
	all := map[string]*boxo.PublicGateway{}
	paths := []string{"/ipfs", "/ipns"}
	for _, h := range p.Hosts {
		all[h] = &boxo.PublicGateway{Paths: paths, UseSubdomains: true, NoDNSLink: true, DeserializedResponses: true}
	}
	for _, h := range p.PathHosts {
		all[h] = &boxo.PublicGateway{Paths: paths, NoDNSLink: true, DeserializedResponses: true}
	}
	for _, h := range p.DNSLinkHosts { // all paths are of the website
		all[h] = &boxo.PublicGateway{DeserializedResponses: true}
	}
	return all
}

// serve passes requests on that are for one of the hosts. Boxo looks a host up with its port,
// and then takes it for one that it does not know.
func (p *People) serve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, ok := r.Context().Value(boxo.GatewayHostnameKey).(string)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		host = withoutPort(host)
		r = r.WithContext(context.WithValue(r.Context(), boxo.GatewayHostnameKey, host))
		r.Header.Del("X-Forwarded-Host") // it is what host is
		// The server's own headers are for an API. A website has its own, or none.
		h := w.Header()
		for _, name := range []string{"Content-Security-Policy", "X-Frame-Options", "Referrer-Policy"} {
			h.Del(name)
		}
		if slices.Contains(p.PathHosts, host) {
			h.Set("Content-Security-Policy", sandbox)
		}
		next.ServeHTTP(w, r)
	})
}

func withoutPort(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.Trim(host, "[]")
}

// isForPeople reports whether an answer is one that its client has to believe.
func isForPeople(r *http.Request) bool {
	if _, ok := r.Context().Value(boxo.GatewayHostnameKey).(string); !ok {
		return false
	}
	switch r.URL.Query().Get("format") {
	case "raw", "car":
		return false
	case "":
		kind := acceptedFormat(r.Header.Values("Accept"))
		return kind != "application/vnd.ipld.raw" && kind != "application/vnd.ipld.car"
	}
	return true
}

// acceptedFormat gives the media type that boxo answers with: the first that names a format of
// IPFS or of data. It is "" if there is none, as with browsers, or if boxo refuses it.
func acceptedFormat(accept []string) string {
	for value := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		value = strings.TrimSpace(value)
		for _, prefix := range []string{"application/vnd.ipld", "application/vnd.ipfs", "application/x-tar", "application/json", "application/cbor"} {
			if strings.HasPrefix(value, prefix) {
				kind, _, err := mime.ParseMediaType(value)
				if err != nil {
					return ""
				}
				return kind
			}
		}
	}
	return ""
}

const (
	// linkAge is how long a DNSLink is believed. Who changes one waits as long.
	linkAge = time.Minute
	// lookupTimeout ends a lookup that takes longer than name servers do.
	lookupTimeout = 10 * time.Second
)

// dnsLinks looks up the DNSLinks of some hosts, each once in a while however many ask. When a
// name server does not answer, the last answer stays.
type dnsLinks struct {
	*namesys.DNSResolver
	lookup func(ctx context.Context, name string) ([]string, error)
	hosts  map[string]*dnsLink // by the name that is looked up
}

type dnsLink struct {
	mu    sync.Mutex // held while it is looked up
	texts []string
	err   error
	at    time.Time // of the last lookup
}

func newDNSLinks(p *People) *dnsLinks {
	d := &dnsLinks{hosts: map[string]*dnsLink{}}
	if p != nil {
		d.lookup = p.LookupTXT
		for _, h := range p.DNSLinkHosts {
			d.hosts["_dnslink."+h+"."] = new(dnsLink)
		}
	}
	d.DNSResolver = namesys.NewDNSResolverWithTTL(d.texts)
	return d
}

// texts gives the records of a name.
func (d *dnsLinks) texts(ctx context.Context, name string) ([]string, time.Duration, error) {
	l, ok := d.hosts[name]
	if !ok {
		return nil, 0, fmt.Errorf("%s is not one of the hosts of this gateway", strings.TrimPrefix(name, "_dnslink."))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	age := time.Since(l.at)
	if l.at.IsZero() || age < 0 || age >= linkAge {
		// The client that asks first may hang up, and the others wait for the answer.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		texts, err := d.lookup(ctx, name)
		if missing, ok := errors.AsType[*net.DNSError](err); err == nil || l.texts == nil || ok && missing.IsNotFound {
			l.texts, l.err = texts, err
		}
		l.at, age = time.Now(), 0
	}
	return l.texts, linkAge - age, l.err
}

// Publish implements [namesys.NameSystem].
func (*dnsLinks) Publish(context.Context, crypto.PrivKey, path.Path, ...namesys.PublishOption) error {
	return errors.New("a gateway publishes no names")
}

// The methods that follow refuse paths that are denied or too long: boxo comes to paths that were
// not in the request, such as those of an index.html, of _redirects, and behind a DNSLink.

func (b *backend) allow(p path.ImmutablePath) error {
	if err := checkLength(p.String()); err != nil {
		return err
	}
	if b.cfg.DeniedPath == nil {
		return nil
	}
	return gone410(b.cfg.DeniedPath(p.String()))
}

// allowWay is allow, and refuses a path whose way takes too much memory.
func (b *backend) allowWay(ctx context.Context, p path.ImmutablePath) error {
	if err := b.allow(p); err != nil {
		return err
	}
	if _, err := b.resolve(ctx, p); isTooMuch(err) {
		return err
	}
	return nil // any other error comes up again
}

// ResolvePath implements [boxo.IPFSBackend].
func (b *backend) ResolvePath(ctx context.Context, p path.ImmutablePath) (boxo.ContentPathMetadata, error) {
	if err := b.allow(p); err != nil {
		return boxo.ContentPathMetadata{}, err
	}
	return b.resolve(ctx, p)
}

// Head implements [boxo.IPFSBackend].
func (b *backend) Head(ctx context.Context, p path.ImmutablePath) (boxo.ContentPathMetadata, *boxo.HeadResponse, error) {
	if err := b.allowWay(ctx, p); err != nil {
		return boxo.ContentPathMetadata{}, nil, err
	}
	return b.BlocksBackend.Head(ctx, p)
}

// GetAll implements [boxo.IPFSBackend].
func (b *backend) GetAll(ctx context.Context, p path.ImmutablePath) (boxo.ContentPathMetadata, files.Node, error) {
	if err := b.allowWay(ctx, p); err != nil {
		return boxo.ContentPathMetadata{}, nil, err
	}
	return b.BlocksBackend.GetAll(ctx, p)
}

// GetBlock implements [boxo.IPFSBackend].
func (b *backend) GetBlock(ctx context.Context, p path.ImmutablePath) (boxo.ContentPathMetadata, files.File, error) {
	if err := b.allowWay(ctx, p); err != nil {
		return boxo.ContentPathMetadata{}, nil, err
	}
	return b.BlocksBackend.GetBlock(ctx, p)
}

// maxListed is how many entries a directory may have that is shown as a page. Boxo keeps them
// all in memory, and a browser takes seconds for as many.
const maxListed = 10_000

// maxNames is how many bytes their names may have together: some 400 each. Each name is on the page
// several times. Kubo lets a name be as long as a block.
const maxNames = 4 << 20

var errTooManyEntries = boxo.NewErrorStatusCode(
	fmt.Errorf("the directory has more than %d entries, or %d bytes of names, which is too much for a page: open what is in it by its name", maxListed, maxNames),
	http.StatusUnprocessableEntity)

// Get implements [boxo.IPFSBackend].
func (b *backend) Get(ctx context.Context, p path.ImmutablePath, ranges ...boxo.ByteRange) (boxo.ContentPathMetadata, *boxo.GetResponse, error) {
	md, err := b.ResolvePath(ctx, p)
	if err != nil {
		return boxo.ContentPathMetadata{}, nil, err
	}
	if len(md.LastSegmentRemainder) > 0 {
		return b.BlocksBackend.Get(ctx, p, ranges...)
	}
	if root := md.LastSegment.RootCid(); root.Type() == cid.DagProtobuf {
		nd, err := b.dag.Get(ctx, root)
		if err != nil {
			return boxo.ContentPathMetadata{}, nil, err
		}
		if pb, ok := nd.(*merkledag.ProtoNode); ok {
			fs, err := unixfs.FSNodeFromBytes(pb.Data())
			if err == nil && fs.IsDir() {
				dir, err := uio.NewDirectoryFromNode(b.dag, nd)
				if err != nil {
					return boxo.ContentPathMetadata{}, nil, err
				}
				size, err := nd.Size()
				if err != nil {
					return boxo.ContentPathMetadata{}, nil, err
				}
				md.ModTime = fs.ModTime()
				return md, boxo.NewGetResponseFromDirectoryListing(size, limited(ctx, dir.EnumLinksAsync(ctx)), nil), nil
			}
		}
	}
	file, answer, err := b.BlocksBackend.Get(ctx, md.LastSegment, ranges...)
	file.PathSegmentRoots = md.PathSegmentRoots
	return file, answer, err
}

// limited passes up to maxListed entries on, with names of maxNames bytes together, and then an error.
func limited(ctx context.Context, entries <-chan unixfs.LinkResult) <-chan unixfs.LinkResult {
	some := make(chan unixfs.LinkResult)
	go func() {
		defer close(some)
		n, names := 0, 0
		for e := range entries {
			if e.Link != nil {
				names += len(e.Link.Name)
			}
			n++
			tooMuch := n > maxListed || names > maxNames
			if tooMuch {
				e = unixfs.LinkResult{Err: errTooManyEntries}
			}
			select {
			case some <- e:
			case <-ctx.Done():
				return
			}
			if tooMuch {
				return
			}
		}
	}()
	return some
}
