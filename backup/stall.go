package backup

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
)

// stallTime is for how long nothing may come or go on a connection to a bucket that is in use. A slow one
// takes some bytes every few seconds. The library tries again some times after that.
const stallTime = 2 * time.Minute

// newTransport gives the library's way to a bucket, which ends what stalls: the library itself waits forever
// for a server that does not read, or that ends in the middle of an answer.
func newTransport(secure bool) (*http.Transport, error) {
	t, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, err
	}
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return stallingConn{c}, nil
	}
	return t, nil
}

// stallingConn is a connection whose reads and writes fail once nothing has come or gone for stallTime. A
// write puts off the end of a read that waits meanwhile, for the answer.
type stallingConn struct{ net.Conn }

func (c stallingConn) Read(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(stallTime)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c stallingConn) Write(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(stallTime)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
