package httpd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/logtest"
)

// A flipped bit in the certificate or its key is an error at the start. If it is in the name of
// the signer, it is a warning.
func TestFlippedTLSFiles(t *testing.T) {
	certPath, keyPath := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	cert, key := chainOf(t, "pins.example.com")
	var lines logtest.Lines
	log := slog.New(slog.NewTextHandler(&lines, nil))
	write := func(cert, key []byte) {
		t.Helper()
		for path, b := range map[string][]byte{certPath: cert, keyPath: key} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(cert, key)
	if _, err := openTLSFiles(certPath, keyPath, log); err != nil || lines.String() != "" {
		t.Fatalf("unharmed: %v\n%s", err, &lines)
	}
	// flip gives PEM with one bit of its content flipped.
	flip := func(text []byte, bit int) (changed []byte) {
		for len(text) > 0 {
			var b *pem.Block
			if b, text = pem.Decode(text); b == nil {
				t.Fatal("no PEM")
			}
			if bit >= 0 && bit < 8*len(b.Bytes) {
				b.Bytes[bit/8] ^= 1 << (bit % 8)
			}
			bit -= 8 * len(b.Bytes)
			changed = append(changed, pem.EncodeToMemory(b)...)
		}
		return changed
	}
	size := func(text []byte) int { // in bits, of what is first in it
		b, _ := pem.Decode(text)
		return 8 * len(b.Bytes)
	}
	for bit := range size(cert) {
		write(flip(cert, bit), key)
		before := lines.String()
		if _, err := openTLSFiles(certPath, keyPath, log); err == nil && lines.String() == before {
			t.Errorf("bit %d of %d of the certificate goes unnoticed", bit, size(cert))
		}
	}
	first, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range size(key) {
		write(cert, flip(key, bit))
		f, err := openTLSFiles(certPath, keyPath, log)
		if err == nil && !f.now.PrivateKey.(*ecdsa.PrivateKey).Equal(first.PrivateKey) {
			t.Errorf("bit %d of the key gives another one", bit)
		}
	}
}

// While a server runs, its log says each day that the certificate ends soon, and that it has ended,
// until it is replaced.
func TestCertificateEnds(t *testing.T) {
	certPath, keyPath := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	synctest.Test(t, func(t *testing.T) {
		write := func(life time.Duration) {
			t.Helper()
			cert, key := certificateFor(t, "pins.example.com", life)
			if err := errors.Join(os.WriteFile(certPath, cert, 0o600), os.WriteFile(keyPath, key, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		const day = 24 * time.Hour
		write(16*day + time.Hour)
		var lines logtest.Buffer
		f, err := openTLSFiles(certPath, keyPath, slog.New(slog.NewTextHandler(&lines, nil)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			f.Run(ctx)
		}()
		after := func(days int, soon, over int) {
			t.Helper()
			time.Sleep(time.Duration(days) * day)
			synctest.Wait()
			all := lines.String()
			if n := strings.Count(all, "level=WARN msg=\"the TLS certificate ends soon"); n != soon {
				t.Errorf("%d times it ends soon, want %d:\n%s", n, soon, all)
			}
			if n := strings.Count(all, "level=ERROR msg=\"the TLS certificate has ended"); n != over {
				t.Errorf("%d times it has ended, want %d:\n%s", n, over, all)
			}
		}
		after(2, 0, 0)
		after(2, 2, 0)
		after(13, 14, 1)
		write(100 * day)
		after(50, 14, 1)
		stop()
		<-ended
	})
}

// chainOf makes a certificate that another one signed, which is behind it, as PEM.
func chainOf(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	caCert, caKey := certificate(t, "ca")
	ca, err := tls.X509KeyPair(caCert, caKey)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, ca.Leaf, k.Public(), ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), caCert...),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// certificate makes a self-signed one, as PEM.
func certificate(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	return certificateFor(t, name, time.Hour)
}

// certificateFor makes one that ends after that time.
func certificateFor(t *testing.T, name string, life time.Duration) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}
