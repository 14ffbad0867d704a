package httpd

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
)

// Encryption is how the server speaks TLS.
type Encryption interface {
	// Config is for the server's listener.
	Config() *tls.Config
	// Run does what is to be done in the background until ctx ends. The server
	// is being served by then.
	Run(ctx context.Context)
	// Close lets go of what was opened. It may be called without run.
	Close()
}

// OpenEncryption makes what http.tls asks for: nil if it is off. acmeDir is a directory for
// what ACME keeps, which need not exist. The listener is
// where the server will be.
func OpenEncryption(c config.HTTP, acmeDir string, l net.Listener, log *slog.Logger) (Encryption, error) {
	switch c.TLS {
	case config.TLSFiles:
		return openTLSFiles(c.TLSCert, c.TLSKey, log)
	case config.TLSACME:
		return OpenACME(c, acmeDir, l.Addr(), log)
	case config.TLSOff:
		return nil, nil
	}
	return nil, fmt.Errorf("http.tls is %q", c.TLS)
}
