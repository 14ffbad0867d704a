package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// An interrupt ends a prompt, and restores the terminal's echo.
func TestPromptIsInterrupted(t *testing.T) {
	open := func(name string) *os.File {
		f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	keys := open("/dev/ptmx")
	defer keys.Close() // which ends the read that is left
	if err := unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty := open(fmt.Sprintf("/dev/pts/%d", n))
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := &cli{stdin: tty, stderr: prompted{cancel}}
	if _, err := c.ask(ctx, "Password: "); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("the error is %v", err)
	}
	after, err := term.GetState(int(tty.Fd()))
	if err != nil || *after != *before {
		t.Errorf("the terminal is left as %+v, %v; it was %+v", after, err, before)
	}
}

// prompted is a writer that calls cancel at the first write.
type prompted struct{ cancel func() }

func (p prompted) Write(b []byte) (int, error) {
	p.cancel()
	return io.Discard.Write(b)
}
