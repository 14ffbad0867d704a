// Command holdfast is an IPFS pinning server and the commands that manage it.
//
// It holds the commands and nothing else: what they are called with, what they ask, and
// what they print. The server is a value that package daemon puts together, and that main
// and tests both start; what can be set is in package config, and the data directory in
// package datadir.
//
// While a server runs the commands speak to it over a Unix socket in the data
// directory; while none does they serve the same API to themselves over a pipe, so that
// there is one code path ([daemon.Connect], package admin).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

func main() { os.Exit(run()) }

// run is main with an exit code, so that tests can start it.
func run() int {
	ctx, stop := untilSignal()
	defer stop()

	c := &cli{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		environ: os.Environ(), getenv: os.Getenv,
		interactive: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())),
		unit:        datadir.SystemUnit(),
		program:     programName(os.Args[0]),
	}
	err := c.command().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	c.printError(os.Stderr, err)
	if _, ok := errors.AsType[*stopError](err); ctx.Err() != nil && !ok {
		return 130 // as shells have it for a command that was interrupted
	}
	return 1
}

// untilSignal gives a context that ends with the first SIGINT or SIGTERM. From
// then on a second one ends the process at once.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals) // before anybody can see that the context ended
		cancel()
	}()
	return ctx, func() {
		cancel()
		<-watched
	}
}

// printError shows an error, and its hint, if it has one, unless it was logged.
func (c *cli) printError(w io.Writer, err error) {
	if _, ok := errors.AsType[*loggedError](err); ok {
		return
	}
	fmt.Fprintf(w, "holdfast: error: %s\n", c.asCalled(err.Error()))
	if h, ok := errors.AsType[*hint.Error](err); ok {
		fmt.Fprintf(w, "hint: %s\n", c.asCalled(h.Hint))
	}
}
