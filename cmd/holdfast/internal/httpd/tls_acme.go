package httpd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

// acmeCerts is TLS with certificates that a CA gives by ACME (RFC 8555). The CA checks that
// the domains are ours by TLS-ALPN-01 (RFC 8737), over the server's own port. So port 443 of
// the domains must lead there.
type acmeCerts struct {
	cache   *certmagic.Cache
	Magic   *certmagic.Config
	domains []string
	log     *slog.Logger
}

// OpenACME makes the certificates' store in dir. No certificate is asked for before Run.
func OpenACME(c config.HTTP, dir string, at net.Addr, log *slog.Logger) (*acmeCerts, error) {
	roots, err := readRoots(c.ACMECARoots)
	if err != nil {
		return nil, hint.Add(err, "http.acme_ca_roots is for your own CA, and may be empty")
	}
	a := &acmeCerts{domains: c.ACMEDomains, log: log}
	// The log of the library is off. Its events have what an operator needs, with the causes
	// of failures.
	quiet := zap.NewNop()
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.Magic, nil },
		Logger:           quiet,
	})
	a.Magic = certmagic.New(a.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: dir},
		// OCSP would ask another server, and the usual CAs have given it up.
		OCSP:    certmagic.OCSPConfig{DisableStapling: true},
		OnEvent: a.event,
		// For clients that name no host.
		DefaultServerName: c.ACMEDomains[0],
		Logger:            quiet,
	})
	host, port, err := hostPort(at)
	if err != nil {
		a.Close()
		return nil, fmt.Errorf("set up ACME: %w", err)
	}
	a.Magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(a.Magic, certmagic.ACMEIssuer{
		CA:           c.ACMECA,
		TestCA:       c.ACMECA, // where the library sends a second try; by default a CA of its choice
		Email:        c.ACMEEmail,
		TrustedRoots: roots,
		Agreed:       true, // config.example.toml says so
		// The server does not have port 80.
		DisableHTTPChallenge: true,
		ListenHost:           host,
		AltTLSALPNPort:       port,
		Logger:               quiet,
	})}
	return a, nil
}

// readRoots reads root certificates. For "" it gives nil, which stands for those of the
// system.
func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the roots of the CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the roots of the CA: %s holds no certificate in PEM", path)
	}
	return roots, nil
}

func hostPort(a net.Addr) (host string, port int, err error) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return "", 0, fmt.Errorf("%s is not a TCP address", a)
	}
	return tcp.IP.String(), tcp.Port, nil
}

// event logs the events that matter to operators.
func (a *acmeCerts) event(_ context.Context, name string, data map[string]any) error {
	switch name {
	case "cert_obtained":
		a.log.Info("got a TLS certificate", "domain", data["identifier"], "renewal", data["renewal"])
	case "cert_failed":
		a.log.Warn("cannot get a TLS certificate; trying again", "domain", data["identifier"], "renewal", data["renewal"], "err", data["error"])
	}
	return nil
}

func (a *acmeCerts) Config() *tls.Config {
	c := a.Magic.TLSConfig()
	c.MinVersion = tls.VersionTLS12
	c.NextProtos = append([]string{"h2", "http/1.1"}, c.NextProtos...) // before the protocol that the CA uses
	return c
}

// Run gets each certificate that is missing, however long that takes. The library renews
// them.
func (a *acmeCerts) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, domain := range a.domains {
		all.Go(func() {
			if err := a.obtain(ctx, domain); err != nil && ctx.Err() == nil {
				a.log.Error("gave up getting a TLS certificate", "domain", domain, "err", err)
			}
		})
	}
	all.Wait()
}

func (a *acmeCerts) obtain(ctx context.Context, domain string) error {
	kept, err := a.Magic.CacheManagedCertificate(ctx, domain)
	// The library's word "async" says that it tries again after a failure.
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = a.Magic.ObtainCertAsync(ctx, domain)
	case err == nil && kept.NeedsRenewal(a.Magic):
		err = a.Magic.RenewCertAsync(ctx, domain, false)
	default:
		return err
	}
	if err != nil {
		return err
	}
	_, err = a.Magic.CacheManagedCertificate(ctx, domain)
	return err
}

func (a *acmeCerts) Close() { a.cache.Stop() }
