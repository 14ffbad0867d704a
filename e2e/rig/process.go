package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// killGrace is how long Stop waits after SIGTERM. Both daemons promise to end within ten seconds.
const killGrace = 20 * time.Second

// Process is a running daemon, in its own process group, with its output in a file.
type Process struct {
	Name string
	Log  string // path of its stdout and stderr
	cmd  *exec.Cmd
	done chan struct{} // closed once it has been waited for
	err  error         // of Wait; read after done
}

// starter starts processes from one thread that lives as long as the starter: the kernel sends the
// parent-death signal when the thread that forked ends.
type starter struct {
	jobs chan func()
	once sync.Once
}

func newStarter() *starter {
	s := &starter{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for job := range s.jobs {
			job()
		}
		// The thread stays locked, so it ends here, and its children with it.
	}()
	return s
}

func (s *starter) close() { s.once.Do(func() { close(s.jobs) }) }

func (s *starter) start(name, log string, cmd *exec.Cmd) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	ownGroup(cmd)
	started := make(chan error, 1)
	s.jobs <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{Name: name, Log: log, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Start starts another daemon than the rig's own. Its output is added to the file log.
func (r *Rig) Start(name, log string, cmd *exec.Cmd) (*Process, error) {
	return r.starter.start(name, log, cmd)
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends a signal to the process alone.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.Name, err)
	}
	return nil
}

// Wait waits until the process has ended and says how: nil for exit 0.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("%s has not ended: %w", p.Name, context.Cause(ctx))
	}
}

// Kill ends the process with SIGKILL and waits for that. It may be called
// again.
func (p *Process) Kill() {
	select {
	case <-p.done:
		return
	default:
	}
	// The id of the group is the pid, which nobody else gets until Wait has returned.
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL) // it may just have ended
	<-p.done
}

// Stop ends the process with SIGTERM. If that takes long, it uses SIGKILL and returns an error. It
// may be called again; then it says how the process ended.
func (p *Process) Stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(killGrace):
		p.Kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM", p.Name, killGrace)
	}
}

// Tail returns the end of what the process has printed, for the report of a failure.
func (p *Process) Tail() string {
	const most = 16 << 10
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	if len(b) > most {
		b = b[len(b)-most:]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			b = b[i+1:]
		}
	}
	return fmt.Sprintf("--- %s (pid %d)\n%s", p.Name, p.PID(), b)
}

// Ended says how a process has ended that should run; nil if it runs.
func (p *Process) Ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended: %v\n%s", p.Name, p.err, p.Tail())
	default:
		return nil
	}
}
