package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
)

// place is an address that a server takes.
type place struct{ key, network, address string }

// places are the addresses that the configuration names, each once, but for those whose port the
// system chooses.
func places(c config.Config) (all []place) {
	seen := map[place]bool{}
	add := func(p place) {
		_, port, err := net.SplitHostPort(p.address)
		once := place{network: p.network, address: p.address}
		if err != nil || port == "0" || seen[once] {
			return
		}
		seen[once] = true
		all = append(all, p)
	}
	for _, one := range []place{
		{"http.listen", "tcp", c.HTTP.Listen},
		{"gateway.listen", "tcp", c.Gateway.Listen},
		{"metrics.listen", "tcp", c.Metrics.Listen},
	} {
		add(one)
	}
	if network, address, err := c.RPC.Address(); err == nil && network == "tcp" {
		add(place{"rpc.listen", network, address})
	}
	for _, s := range c.Node.Listen {
		if c.Cluster.On() {
			break // there is no node
		}
		a, err := multiaddr.NewMultiaddr(s)
		if err != nil {
			continue // of which the check of the configuration speaks
		}
		for _, ip := range []struct{ code, version int }{{multiaddr.P_IP4, 4}, {multiaddr.P_IP6, 6}} {
			host, err := a.ValueForProtocol(ip.code)
			if err != nil {
				continue
			}
			for code, network := range map[int]string{multiaddr.P_TCP: "tcp", multiaddr.P_UDP: "udp"} {
				if port, err := a.ValueForProtocol(code); err == nil {
					add(place{"node.listen", network + strconv.Itoa(ip.version), net.JoinHostPort(host, port)})
				}
			}
		}
	}
	return all
}

// LowPortHint is for an address that may not be listened on.
const LowPortHint = "for a port below 1024 the service needs AmbientCapabilities=CAP_NET_BIND_SERVICE, as README.md has it"

func ports(_ context.Context, p *Patient) (all []Finding) {
	wanted := places(p.Config)
	if p.Server != nil || p.ServerErr != nil {
		return one(OK, "the server that runs has them", "")
	}
	for _, w := range wanted {
		err := p.Host.Listen(w.network, w.address)
		if err == nil {
			continue
		}
		f := Finding{Level: Trouble, Text: fmt.Sprintf("%s: %s cannot be used: %v", w.key, w.address, err),
			Hint: "set another address with " + w.key}
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			who := p.Host.OwnerOf(w.network, portOf(w.address))
			if who == "" {
				who = "another process"
			}
			f.Text = fmt.Sprintf("%s: %s has %s (%s) already", w.key, who, w.address, w.network[:3])
			f.Hint = "stop that process, or set another port with " + w.key
		case errors.Is(err, syscall.EACCES):
			f.Hint = LowPortHint + "; or set another with " + w.key
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			f.Hint = "this host does not have that address: set another with " + w.key
		case errors.Is(err, syscall.EAFNOSUPPORT):
			f.Level, f.Hint = Warning, "this host has no IPv6, so nothing listens there; take the address out of "+w.key
		}
		all = append(all, f)
	}
	if network, path, err := p.Config.RPC.Address(); err == nil && network == "unix" {
		if is, err := os.Stat(filepath.Dir(path)); err != nil || !is.IsDir() {
			all = append(all, Finding{Level: Trouble, Text: fmt.Sprintf("rpc.listen: there is no directory %s for the socket", filepath.Dir(path)),
				Hint: "make it, for the user of the server alone, or set another path with rpc.listen"})
		}
	}
	if len(all) == 0 {
		return one(OK, "all that the configuration names are free", "")
	}
	return all
}

func portOf(address string) uint16 {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(port, 10, 16)
	return uint16(n)
}

// askedFor is how long after a start others may need to say whether they reach the node.
const askedFor = 15 * time.Minute

func reachability(_ context.Context, p *Patient) []Finding {
	if p.Config.Cluster.On() {
		return one(Note, "a cluster keeps what is pinned: its nodes have to be reached", "")
	}
	if p.Server == nil {
		return one(Note, "only a server that runs can ask other nodes whether they reach it", "")
	}
	is := p.Server.Network
	const open = "open the ports of node.listen, TCP and UDP, in the firewall, and forward them in the router"
	switch {
	case !is.Asked:
		return one(Note, "other nodes are not asked: node.autonat or node.routing is off", "")
	case len(is.Reached) > 0:
		return one(OK, "others reached "+strings.Join(is.Reached, ", "), "")
	case is.Relayed:
		return one(Warning, "others reach it through relays alone, which is slow", open)
	case len(is.NotReached) > 0:
		return one(Warning, "others did not reach "+strings.Join(is.NotReached, ", "), open)
	case p.Server.Now.Sub(p.Server.Started) < askedFor:
		return one(Note, "it started a short while ago, and others did not say yet", "")
	case is.Peers == 0:
		return one(Warning, "it has no peers that it could ask", "look whether the host reaches the internet, and at node.bootstrap")
	}
	return one(Note, "no peer said yet whether it reaches the server", "")
}

func certificate(_ context.Context, p *Patient) (all []Finding) {
	var files []string
	what := "put a new certificate into the files of http.tls_cert and http.tls_key: the server reads them again"
	switch h := p.Config.HTTP; h.TLS {
	case config.TLSFiles:
		files = []string{h.TLSCert}
	case config.TLSACME:
		what = "the log has why it is not renewed: the CA must reach port 443 of the domain, and that must lead here"
		if p.Data != nil {
			files, _ = filepath.Glob(filepath.Join(p.Data.File(datadir.ACMEDirName), "certificates", "*", "*", "*.crt")) // the pattern is right
		}
		if len(files) == 0 {
			return one(Note, "there is none yet; the server gets it", "")
		}
	default:
		return one(Note, "http.tls is off: there is none", "")
	}
	for _, file := range files {
		all = append(all, p.certificateIn(file, what))
	}
	return all
}

func (p *Patient) certificateIn(file, what string) Finding {
	leaf, err := readLeaf(file)
	if err != nil {
		return Finding{Level: Trouble, Text: err.Error(), Hint: what}
	}
	now := p.Host.Now()
	f := Finding{Level: OK, Text: fmt.Sprintf("%s is valid until %s", file, leaf.NotAfter.UTC().Format("2006-01-02 15:04 MST"))}
	name := p.Config.HTTP.PublicName()
	switch {
	case now.After(leaf.NotAfter):
		f.Level, f.Text = Trouble, fmt.Sprintf("%s has ended at %s", file, leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		f.Level, f.Text = Trouble, fmt.Sprintf("%s is valid from %s on, and now it is %s", file,
			leaf.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		what = clockHint
	case leaf.NotAfter.Sub(now) < config.CertificateSoon:
		f.Level = Warning
	case name != "" && p.Config.HTTP.TLS == config.TLSFiles && leaf.VerifyHostname(name) != nil:
		f.Level, f.Text = Warning, fmt.Sprintf("%s is not for %s, the name in http.public_url", file, name)
	default:
		return f
	}
	f.Hint = what
	return f
}

// readLeaf reads the first certificate in a file.
func readLeaf(file string) (*x509.Certificate, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("read the certificate: %s has none in PEM", file)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the certificate in %s: %w", file, err)
	}
	return leaf, nil
}

// placeTime bounds the question to the place of backups.
const placeTime = 20 * time.Second

// newestBackup asks the place of backups. It does not wait for a network file system that hangs.
func newestBackup(ctx context.Context, p *Patient) (newest, good time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, placeTime)
	defer cancel()
	answered := make(chan struct{})
	var n, g time.Time
	var e error
	go func() {
		defer close(answered)
		n, g, e = p.NewestBackup(ctx)
	}()
	select {
	case <-answered:
		return n, g, e
	case <-ctx.Done():
		return newest, good, fmt.Errorf("there is no answer: %w", ctx.Err())
	}
}

func backups(ctx context.Context, p *Patient) []Finding {
	c := p.Config.Backup
	const what = "the log has why; `holdfast backup` makes one now"
	// A server may have settings, and means to read the place, that this process does not have.
	var newest time.Time
	of := p.Server != nil && p.Server.Backup != nil
	if of {
		if p.Server.Backup.Failed {
			return one(Trouble, "the last backup failed", what)
		}
		newest = p.Server.Backup.Last
	}
	if newest.IsZero() {
		switch {
		case c.To == "" && !of:
			return one(Warning, "none is made: backup.to is not set", "set backup.to to a directory on another disk or to a bucket, as docs/backup.md has it")
		case p.Data == nil:
			return one(Note, "there is nothing to back up yet", "")
		case c.To != "":
			all, good, err := newestBackup(ctx, p)
			if err != nil {
				return failed(Trouble, fmt.Errorf("the backups at %s cannot be read: %w", c.To, err), "look whether the place is there, and may be read")
			}
			if newest = good; !all.Equal(good) {
				return one(Trouble, "the newest backup lacks what could not be read when it was made", "run `holdfast store verify --repair`, then make another backup")
			}
		}
	}
	if newest.IsZero() {
		return one(Trouble, "there is none yet", "look whether the disk of backup.to is mounted; `holdfast backup` makes one now")
	}
	age := max(0, p.Host.Now().Sub(newest)).Round(time.Minute)
	says := fmt.Sprintf("the newest is from %s, %v ago", newest.UTC().Format("2006-01-02 15:04 MST"), age)
	// The server knows its own schedule, and whether the clock was set back.
	old := c.Every > 0 && age > c.MaxAge()
	if of {
		old = p.Server.Backup.Old
	}
	if old {
		return one(Trouble, says+fmt.Sprintf("; backup.every is %v", time.Duration(c.Every)), what)
	}
	return one(OK, says, "")
}
