package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
)

// writeNodeKey writes the identity of a node, and gives its peer ID.
func writeNodeKey(t *testing.T, path, seed string) string {
	t.Helper()
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed([]byte(seed)))
	must(t, err)
	b, err := crypto.MarshalPrivateKey(key)
	must(t, err)
	must(t, os.WriteFile(path, b, 0o600))
	id, err := peer.IDFromPrivateKey(key)
	must(t, err)
	return id.String()
}

// A port that is taken is named, with who has it.
func TestPorts(t *testing.T) {
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { udp.Close() })
	p := healthy(t)
	p.Host.Listen, p.Host.OwnerOf = listen, ownerOf
	p.Config.HTTP.Listen, p.Config.Metrics.Listen = "127.0.0.1:0", "127.0.0.1:0"
	p.Config.Node.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	expect(t, p, "ports", OK, "free")
	us := fmt.Sprintf("(process %d) has ", os.Getpid())

	p.Config.HTTP.Listen = tcp.Addr().String()
	expect(t, p, "ports", Trouble, us+tcp.Addr().String())
	p.Config.HTTP.Listen = "127.0.0.1:0"
	_, port, err := net.SplitHostPort(udp.LocalAddr().String())
	must(t, err)
	p.Config.Node.Listen = []string{"/ip4/127.0.0.1/udp/" + port + "/quic-v1", "/ip4/127.0.0.1/udp/" + port + "/quic-v1/webtransport"}
	expect(t, p, "ports", Trouble, us+udp.LocalAddr().String())
	if found := ports(t.Context(), p); len(found) != 1 {
		t.Errorf("the same port is named as %v", found)
	}
	p.Host.LookAhead(p.Config)
	must(t, udp.Close()) // what was seen before counts
	expect(t, p, "ports", Trouble, us+udp.LocalAddr().String())
	p.Server = running()
	expect(t, p, "ports", OK, "the server that runs has them")
}

// The address of the RPC for this machine is looked at as well: its port, or the directory of its socket.
func TestAddressOfTheRPC(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	p := healthy(t)
	p.Host.Listen, p.Host.OwnerOf = listen, ownerOf
	p.Config.HTTP.Listen, p.Config.Metrics.Listen = "127.0.0.1:0", "127.0.0.1:0"
	p.Config.Node.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	p.Config.RPC.Listen = taken.Addr().String()
	expect(t, p, "ports", Trouble, "rpc.listen")
	dir := t.TempDir()
	p.Config.RPC.Listen = "unix:" + filepath.Join(dir, "rpc.sock")
	expect(t, p, "ports", OK, "free")
	p.Config.RPC.Listen = "unix:" + filepath.Join(dir, "none", "rpc.sock")
	expect(t, p, "ports", Trouble, "there is no directory "+filepath.Join(dir, "none"))
}

func TestPortsThatCannotBeHad(t *testing.T) {
	for err, level := range map[error]Level{
		syscall.EACCES: Trouble, syscall.EADDRNOTAVAIL: Trouble, syscall.EAFNOSUPPORT: Warning, errors.New("another"): Trouble,
	} {
		p := healthy(t)
		p.Config.HTTP.Listen, p.Config.Node.Listen = ":443", nil
		p.Host.Listen = func(_, address string) error {
			if address == ":443" {
				return &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)}
			}
			return nil
		}
		found := ports(t.Context(), p)
		if len(found) != 1 || found[0].Level != level || !strings.Contains(found[0].Text, "http.listen: :443") || found[0].Hint == "" {
			t.Errorf("%v: %+v", err, found)
		}
	}
}

func TestReachability(t *testing.T) {
	for name, c := range map[string]struct {
		network admin.NetworkCondition
		level   Level
		words   string
	}{
		"not asked":   {admin.NetworkCondition{Peers: 1}, Note, "are not asked"},
		"reached":     {admin.NetworkCondition{Peers: 1, Asked: true, Reached: []string{"/ip4/192.0.2.1/tcp/1"}, NotReached: []string{"/x"}}, OK, "others reached /ip4/192.0.2.1/tcp/1"},
		"relayed":     {admin.NetworkCondition{Peers: 1, Asked: true, Relayed: true, NotReached: []string{"/ip4/192.0.2.1/tcp/1"}}, Warning, "through relays alone"},
		"not reached": {admin.NetworkCondition{Peers: 1, Asked: true, NotReached: []string{"/ip4/192.0.2.1/tcp/1"}}, Warning, "did not reach /ip4/192.0.2.1/tcp/1"},
		"no peers":    {admin.NetworkCondition{Asked: true}, Warning, "no peers"},
		"silence":     {admin.NetworkCondition{Peers: 1, Asked: true}, Note, "no peer said yet"},
	} {
		t.Run(name, func(t *testing.T) {
			p := healthy(t)
			p.Server = running()
			p.Server.Network = c.network
			expect(t, p, "reachability", c.level, c.words)
		})
	}
	p := healthy(t)
	p.Server = running()
	p.Server.Started, p.Server.Network = noon.Add(-time.Minute), admin.NetworkCondition{Asked: true}
	expect(t, p, "reachability", Note, "a short while ago")
}

// writeCertificate writes one, as PEM.
func writeCertificate(t *testing.T, path, name string, from, to time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
}

func TestCertificate(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		from, to time.Duration // from now
		level    Level
		words    string
	}{
		"good":    {-day, 60 * day, OK, "is valid until"},
		"soon":    {-day, 3 * day, Warning, "is valid until 2030-01-05"},
		"ended":   {-90 * day, -day, Trouble, "has ended at 2030-01-01"},
		"not yet": {day, 90 * day, Trouble, "is valid from 2030-01-03"},
	} {
		for _, tls := range []string{config.TLSFiles, config.TLSACME} {
			t.Run(name+" "+tls, func(t *testing.T) {
				p := healthy(t)
				p.Config.HTTP.TLS, p.Config.HTTP.TLSCert = tls, filepath.Join(t.TempDir(), "cert.pem")
				p.Config.HTTP.PublicURL = "https://pins.example.org"
				file := p.Config.HTTP.TLSCert
				if tls == config.TLSACME {
					file = p.Data.File(filepath.Join(datadir.ACMEDirName, "certificates", "ca", "pins.example.org", "pins.example.org.crt"))
				}
				writeCertificate(t, file, "pins.example.org", noon.Add(c.from), noon.Add(c.to))
				expect(t, p, "certificate", c.level, c.words)
			})
		}
	}
	p := healthy(t)
	p.Config.HTTP.TLS, p.Config.HTTP.TLSCert = config.TLSFiles, filepath.Join(t.TempDir(), "cert.pem")
	expect(t, p, "certificate", Trouble, "no such file")
	must(t, os.WriteFile(p.Config.HTTP.TLSCert, []byte("not PEM"), 0o600))
	expect(t, p, "certificate", Trouble, "has none in PEM")
	writeCertificate(t, p.Config.HTTP.TLSCert, "other.example.org", noon.Add(-day), noon.Add(60*day))
	p.Config.HTTP.PublicURL = "https://pins.example.org"
	expect(t, p, "certificate", Warning, "is not for pins.example.org")
	p.Config.HTTP.TLS = config.TLSACME
	expect(t, p, "certificate", Note, "none yet")
}

func TestBackups(t *testing.T) {
	p := healthy(t)
	newest := func(at time.Time, err error) {
		p.NewestBackup = func(context.Context) (time.Time, time.Time, error) { return at, at, err }
	}
	p.Config.Backup.To = ""
	expect(t, p, "backup", Warning, "backup.to is not set")
	p.Config.Backup.To = "/backups"
	newest(time.Time{}, nil)
	expect(t, p, "backup", Trouble, "there is none yet")
	newest(time.Time{}, errors.New("no answer"))
	expect(t, p, "backup", Trouble, "no answer")
	// It is old when /readyz says so, too.
	newest(noon.Add(-p.Config.Backup.MaxAge()), nil)
	expect(t, p, "backup", OK, "72h0m0s ago")
	newest(noon.Add(-p.Config.Backup.MaxAge()-time.Minute), nil)
	expect(t, p, "backup", Trouble, "72h1m0s ago; backup.every is 24h0m0s")
	p.Config.Backup.Every = 0 // somebody makes them by hand
	expect(t, p, "backup", OK, "72h1m0s ago")
	// One that lacks something is no good one.
	p.NewestBackup = func(context.Context) (time.Time, time.Time, error) { return noon, noon.Add(-time.Hour), nil }
	expect(t, p, "backup", Trouble, "the newest backup lacks what could not be read")
	p.Server = running()
	p.Server.Backup = &admin.BackupCondition{Failed: true}
	expect(t, p, "backup", Trouble, "the last backup failed")
	// A server knows more of its backups than this process does.
	p.Config.Backup.To = ""
	p.Server.Backup = &admin.BackupCondition{Last: noon.Add(-time.Hour)}
	expect(t, p, "backup", OK, "1h0m0s ago")
	p.Server.Backup.Old = true
	expect(t, p, "backup", Trouble, "1h0m0s ago")
	p.Server.Backup.Last = time.Time{}
	expect(t, p, "backup", Trouble, "there is none yet")
}

// A place of backups that hangs is not waited for.
func TestBackupsThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		p := &Patient{Config: config.Default(), Data: new(datadir.Dir), NewestBackup: func(context.Context) (newest, good time.Time, err error) {
			<-end
			return newest, good, nil
		}}
		p.Config.Backup.To = "/backups"
		found := backups(t.Context(), p)
		if len(found) != 1 || found[0].Level != Trouble || !strings.Contains(found[0].Text, "there is no answer") {
			t.Errorf("found %+v", found)
		}
	})
}
