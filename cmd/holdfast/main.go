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

// run is main with an exit code.
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
	_, unclean := errors.AsType[*stopError](err)
	_, logged := errors.AsType[*loggedError](err)
	interrupted := ctx.Err() != nil && !unclean
	if interrupted && !logged && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted") // wherever that met it
	}
	c.printError(os.Stderr, err)
	if interrupted {
		return 130 // what shells report for an interrupted command
	}
	return 1
}

// untilSignal gives a context that ends with the first SIGINT, SIGTERM or SIGHUP. A second one
// ends the process at once, but not a SIGHUP: a terminal that closes sends several. Under nohup
// SIGHUP is ignored.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-signals:
			signal.Ignore(syscall.SIGHUP)
		case <-ctx.Done():
		}
		signal.Stop(signals) // first, so that a signal after the end of the context ends the process
		cancel()
	}()
	return ctx, func() {
		cancel()
		<-watched
	}
}

// printError prints an error and its hint. It prints nothing if the error was logged.
func (c *cli) printError(w io.Writer, err error) {
	if _, ok := errors.AsType[*loggedError](err); ok {
		return
	}
	fmt.Fprintf(w, "holdfast: error: %s\n", c.asCalled(err.Error()))
	if h, ok := errors.AsType[*hint.Error](err); ok {
		fmt.Fprintf(w, "hint: %s\n", c.asCalled(h.Hint))
	}
}
