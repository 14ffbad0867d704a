package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

// maxPasswordLine is how many bytes are read for a password. The check of passwords refuses
// much shorter ones.
const maxPasswordLine = 64 << 10

// readPassword reads a password from the first line of stdin, or asks for it twice on the
// terminal.
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
		return "", hint.Add(errors.New("there is no terminal to ask for the password on"),
			"give it on standard input, with --password-stdin")
	}
	fmt.Fprintf(c.stderr, "A password has %s.\n", auth.PasswordRule())
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

// ask reads a line from the terminal without showing it. The end of input, which is Ctrl-D
// on an empty line, is an error. When ctx ends, ask restores the terminal. The read itself
// cannot be interrupted: it ends with the process.
func (c *cli) ask(ctx context.Context, prompt string) (line []byte, err error) {
	show, err := hideTyping(int(c.stdin.Fd()))
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
		line, err := readLine(c.stdin)
		given <- answer{line, err}
	}()
	select {
	case a := <-given:
		line, err = a.line, a.err
	case <-ctx.Done():
		err = errors.New("interrupted")
	}
	err = errors.Join(err, show())
	fmt.Fprintln(c.stderr)
	if errors.Is(err, io.EOF) {
		return nil, errors.New("no password was given")
	}
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	return line, nil
}

// hideTyping makes the terminal hide what is typed, until show is called. The terminal still
// edits lines, and Ctrl-C still interrupts.
//
// Package term can read a password too, but it ignores Ctrl-D and reads on.
func hideTyping(fd int) (show func() error, err error) {
	before, err := unix.IoctlGetTermios(fd, readTermios)
	if err != nil {
		return nil, fmt.Errorf("read the terminal's settings: %w", err)
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, writeTermios, &hidden); err != nil {
		return nil, fmt.Errorf("hide what is typed: %w", err)
	}
	return func() error {
		if err := unix.IoctlSetTermios(fd, writeTermios, before); err != nil {
			return fmt.Errorf("show again what is typed: %w", err)
		}
		return nil
	}, nil
}

// readLine reads one line, and nothing after it. The last line may end without a newline.
// io.EOF says that there is no line.
func readLine(r io.Reader) (line []byte, err error) {
	var b [1]byte
	for {
		n, err := r.Read(b[:])
		switch {
		case n > 0 && b[0] == '\n':
			return line, nil
		case n > 0 && len(line) < maxPasswordLine:
			line = append(line, b[0])
		case n > 0: // the line is too long already: drop the rest
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		case err != nil:
			return nil, err
		}
	}
}
