package e2e

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// suite has what all tests share. TestMain sets it before they run.
var suite struct {
	*rig.Rig
	// source returns a Kubo that stays up and that tests add content to. Tests must not stop it,
	// count what it sends or rely on which peers it has.
	source func() (*rig.Kubo, error)
}

// patience is the unit of the tests' deadlines. The processes of a cluster share the machine.
var patience = func() time.Duration {
	if os.Getenv(rig.NodesEnv) != "" {
		return 4 * unit
	}
	return unit
}()

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// This limits the builds. The timeout of the tests ends a test that hangs.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := rig.New(ctx, rig.Options{Race: raceEnabled})
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer r.Close()
	suite.Rig = r
	var started *rig.Kubo
	suite.source = sync.OnceValues(func() (k *rig.Kubo, err error) {
		started, err = r.StartKubo(ctx, "shared source", rig.KuboOptions{})
		return started, err
	})
	code := m.Run()
	if started != nil {
		started.Kill()
	}
	// Nothing that the whole run printed has a secret in it.
	leaks, read, err := r.Leaks(password)
	if err != nil || len(leaks) > 0 || read == 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "e2e: FAIL: secrets in what holdfast printed (%d files read): %q, %v\n", read, leaks, err)
		return max(code, 1)
	}
	return code
}
