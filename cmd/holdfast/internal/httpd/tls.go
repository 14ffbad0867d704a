package httpd

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
)

// Encryption is the TLS of the server.
type Encryption interface {
	// Config is the configuration for the server's listener.
	Config() *tls.Config
	// Run does work in the background until ctx ends. Call it once the server is served.
	Run(ctx context.Context)
	// Close frees what was opened. It may be called without Run.
	Close()
}

// OpenEncryption makes the Encryption that http.tls names, or nil for "off". acmeDir is the
// directory for the files of ACME, and may not exist. The server will be served on l.
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
