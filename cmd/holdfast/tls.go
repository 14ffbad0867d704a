package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
)

// encryption is how the server speaks TLS.
type encryption interface {
	// config is for the server's listener.
	config() *tls.Config
	// run does what is to be done in the background until ctx ends. The server
	// is being served by then.
	run(ctx context.Context)
	// close lets go of what was opened. It may be called without run.
	close()
}

// openEncryption makes what http.tls asks for: nil if it is off. acmeDir is a directory for
// what ACME keeps, which need not exist. The listener is
// where the server will be.
func openEncryption(c HTTPConfig, acmeDir string, l net.Listener, log *slog.Logger) (encryption, error) {
	switch c.TLS {
	case tlsFiles:
		return openTLSFiles(c.TLSCert, c.TLSKey, log)
	case tlsACME:
		return openACME(c, acmeDir, l.Addr(), log)
	case tlsOff:
		return nil, nil
	}
	return nil, fmt.Errorf("http.tls is %q", c.TLS)
}
