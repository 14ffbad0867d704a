package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/term"
)

// maxPasswordLine bounds what is read for a password; longer ones are refused
// where they are checked.
const maxPasswordLine = 64 << 10

// readPassword takes a password from the first line of stdin, or asks for it
// twice on the terminal.
func (c *cli) readPassword(ctx context.Context, fromStdin bool) (string, error) {
	if fromStdin {
		line, err := bufio.NewReader(io.LimitReader(c.stdin, maxPasswordLine)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		if line == "" {
			return "", errors.New("there is no password on standard input")
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	if !c.interactive {
		return "", hinted(errors.New("there is no terminal to ask for the password on"),
			"give it on standard input, with --password-stdin")
	}
	first, err := c.ask(ctx, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := c.ask(ctx, "Again: ")
	if err != nil {
		return "", err
	}
	if !bytes.Equal(first, second) {
		return "", errors.New("the two passwords are not the same")
	}
	return string(first), nil
}

// ask reads a line of the terminal without showing it. When ctx ends it leaves
// the terminal as it was; the read itself cannot be ended, and goes with the
// process.
func (c *cli) ask(ctx context.Context, prompt string) ([]byte, error) {
	fd := int(c.stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	fmt.Fprint(c.stderr, prompt)
	type answer struct {
		line []byte
		err  error
	}
	given := make(chan answer, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		given <- answer{line, err}
	}()
	var a answer
	select {
	case a = <-given:
	case <-ctx.Done():
		// The read may be only about to turn the echo off, a moment from now.
		for range 100 {
			if now, err := term.GetState(fd); err != nil || *now != *before {
				break
			}
			time.Sleep(time.Millisecond)
		}
		a.err = errors.Join(errors.New("interrupted"), term.Restore(fd, before))
	}
	fmt.Fprintln(c.stderr)
	if errors.Is(a.err, io.EOF) {
		return nil, errors.New("no password was given")
	}
	if a.err != nil {
		return nil, fmt.Errorf("read the password: %w", a.err)
	}
	return a.line, nil
}
