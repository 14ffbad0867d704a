package backup

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A connection on which nothing comes or goes ends; one that is slow does not, also while it waits for the answer
// to what goes.
func TestStallingConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		c := stallingConn{ours}
		answer := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			answer <- err
		}()
		for range 5 {
			go func() {
				time.Sleep(stallTime - time.Second)
				_, _ = theirs.Read(make([]byte, 1))
			}()
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatalf("what goes slowly ended: %v", err)
			}
		}
		select {
		case err := <-answer:
			t.Fatalf("the wait for an answer ended while something went: %v", err)
		default:
		}
		if err := <-answer; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("no answer: %v", err)
		}
		began := time.Now()
		if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != stallTime {
			t.Errorf("what does not go ended after %v: %v", time.Since(began), err)
		}
	})
}

// All connections to a bucket are such.
func TestTransportEndsWhatStalls(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	transport, err := newTransport(false)
	if err != nil {
		t.Fatal(err)
	}
	c, err := transport.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, ok := c.(stallingConn); !ok {
		t.Errorf("a connection to a bucket is a %T", c)
	}
}
