// Package rig builds two binaries, Kubo's ipfs and holdfast, and runs them on loopback, without
// bootstrap, mDNS and routing. So no packet leaves the machine.
//
// Everything it starts is a [Process], which the caller stops. What a caller forgets to stop
// ends with this process.
package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// kuboPackage is the tool that go.mod pins.
const kuboPackage = "github.com/ipfs/kubo/cmd/ipfs"

// Rig has the binaries and a directory to work in.
type Rig struct {
	IPFS     string // path of Kubo's binary
	Holdfast string // path of ours
	Dir      string // for everything that the rig starts; Close removes it
	starter  *starter
}

// Options say how to build.
type Options struct {
	Race bool // build holdfast with the race detector
}

// New builds both binaries. It must be called from within the e2e module.
func New(ctx context.Context, o Options) (*Rig, error) {
	module, err := moduleDir(ctx)
	if err != nil {
		return nil, err
	}
	ipfs, err := buildKubo(ctx, module)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "holdfast-e2e-")
	if err != nil {
		return nil, err
	}
	// Other users must be able to run the binaries: one test runs as another user.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	holdfast := filepath.Join(dir, "holdfast")
	args := []string{"build", "-o", holdfast}
	if o.Race {
		args = append(args, "-race")
	}
	if err := goCommand(ctx, filepath.Dir(module), append(args, "./cmd/holdfast")...); err != nil {
		return nil, errors.Join(fmt.Errorf("build holdfast: %w", err), os.RemoveAll(dir))
	}
	return &Rig{IPFS: ipfs, Holdfast: holdfast, Dir: dir, starter: newStarter()}, nil
}

// Close removes the rig's directory. Stop all processes before.
func (r *Rig) Close() error {
	r.starter.close()
	return os.RemoveAll(r.Dir)
}

// TempDir makes a new directory below the rig's, its name starting with name.
func (r *Rig) TempDir(name string) (string, error) {
	dir, err := os.MkdirTemp(r.Dir, name+"-")
	if err != nil {
		return "", fmt.Errorf("make a directory for %s: %w", name, err)
	}
	return dir, nil
}

func moduleDir(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the e2e module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// buildKubo builds Kubo into the user's cache. The go command finds it there, sees that it is up
// to date, and does not link 120 MB again.
func buildKubo(ctx context.Context, module string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a place for Kubo: %w", err)
	}
	path := filepath.Join(cache, "holdfast-e2e", "ipfs")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("make a place for Kubo: %w", err)
	}
	if err := goCommand(ctx, module, "build", "-o", path, kuboPackage); err != nil {
		return "", fmt.Errorf("build Kubo: %w", err)
	}
	return path, nil
}

func goCommand(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// Poll calls f until it says that it is done, fails, or ctx ends.
func Poll(ctx context.Context, every time.Duration, f func() (done bool, err error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if done, err := f(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
