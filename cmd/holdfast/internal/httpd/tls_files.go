package httpd

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

// certFiles is TLS with a certificate in files. It reads the files again when they change.
// Each handshake looks at them, which costs nothing beside the handshake.
type certFiles struct {
	cert, key string
	log       *slog.Logger

	mu    sync.Mutex
	now   *tls.Certificate
	stamp fileStamps // of the files at the last read, also one that failed
}

// fileStamps show whether one of the two files has changed.
type fileStamps [2]struct {
	changed time.Time
	size    int64
}

func openTLSFiles(cert, key string, log *slog.Logger) (*certFiles, error) {
	f := &certFiles{cert: cert, key: key, log: log}
	if err := f.read(); err != nil {
		return nil, hint.Add(err, "http.tls_cert names the file of a certificate with its chain, and http.tls_key that of its key, both in PEM")
	}
	return f, nil
}

func (f *certFiles) look() (s fileStamps, err error) {
	for i, path := range []string{f.cert, f.key} {
		info, err := os.Stat(path)
		if err != nil {
			return s, err
		}
		s[i].changed, s[i].size = info.ModTime(), info.Size()
	}
	return s, nil
}

// read reads the files if they changed. With an error the old certificate stays.
func (f *certFiles) read() error {
	stamp, err := f.look()
	if err != nil {
		err = fmt.Errorf("read the TLS certificate: %w", err)
	}
	if stamp == f.stamp && f.now != nil {
		return nil // also after an error, until the files change
	}
	f.stamp = stamp
	if err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("read the TLS certificate in %s and %s: %w", f.cert, f.key, err)
	}
	signed, err := checkChain(cert)
	if err != nil {
		return fmt.Errorf("the TLS certificate in %s is damaged: %w; replace the file", f.cert, err)
	}
	if !signed {
		f.log.Warn("no certificate in the chain signed the TLS certificate; clients may refuse it", "file", f.cert)
	}
	f.now = &cert
	return nil
}

// checkChain verifies the signatures of a certificate and its chain, as far as the file
// allows it. If a bit of a certificate has changed, it still parses, but every client refuses
// it. signed is false if there is a chain that does not have the signer of the certificate.
func checkChain(c tls.Certificate) (signed bool, err error) {
	chain := make([]*x509.Certificate, len(c.Certificate))
	for i, der := range c.Certificate {
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			return false, fmt.Errorf("certificate %d: %w", i+1, err)
		}
	}
	signed = len(chain) == 1
	for i, cert := range chain {
		for _, signer := range chain[i:] {
			if !signs(signer, cert) {
				continue
			}
			signed = signed || i == 0
			err := signer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature)
			// Clients may accept signatures that Go cannot check, or refuses as weak.
			if weak := x509.InsecureAlgorithmError(0); errors.As(err, &weak) || errors.Is(err, x509.ErrUnsupportedAlgorithm) {
				continue
			}
			if err != nil {
				return false, fmt.Errorf("the signature of certificate %d does not fit it: %w", i+1, err)
			}
		}
	}
	return signed, nil
}

// signs reports whether cert names signer as its signer. It compares key ids, since a CA may
// have several keys under one name, and a key may have several names.
func signs(signer, cert *x509.Certificate) bool {
	if len(cert.AuthorityKeyId) > 0 && len(signer.SubjectKeyId) > 0 {
		return bytes.Equal(cert.AuthorityKeyId, signer.SubjectKeyId)
	}
	return bytes.Equal(cert.RawIssuer, signer.RawSubject)
}

// certificate is for tls.Config.GetCertificate.
func (f *certFiles) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.now
	if err := f.read(); err != nil {
		// Perhaps one file is replaced already, and the other not yet.
		f.log.Warn("the TLS certificate changed and cannot be read; the old one is used", "err", err)
	}
	if f.now != before {
		f.log.Info("the TLS certificate was read again", "expires", f.now.Leaf.NotAfter)
	}
	return f.now, nil
}

func (f *certFiles) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: f.certificate}
}

// lookEvery is how often the log says that the certificate ends. At a start the checks of the host
// say it.
const lookEvery = 24 * time.Hour

// Run logs it while the certificate ends soon or has ended: whoever renews it has failed, and
// clients that refuse it leave no other trace.
func (f *certFiles) Run(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		cert, _ := f.certificate(nil) // it never fails
		end := cert.Leaf.NotAfter
		switch left := time.Until(end); {
		case left <= 0:
			f.log.Error("the TLS certificate has ended, and clients refuse it: replace the files", "file", f.cert, "ended", end)
		case left < config.CertificateSoon:
			f.log.Warn("the TLS certificate ends soon: replace the files", "file", f.cert, "ends", end)
		}
	}
}

func (f *certFiles) Close() {}
