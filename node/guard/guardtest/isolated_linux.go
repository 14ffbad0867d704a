package guardtest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
)

// inside names the test that runs in a network of its own.
const inside = "HOLDFAST_TEST_ISOLATED"

// Isolated runs the calling test, which must not be a subtest, in a network
// namespace that it makes: there is no network there but loopback, and every
// address, private or public, leads to the test itself. So real sockets can be
// seen to connect, or not to, and nothing ever leaves the machine. [Own] is an address
// of its interface.
//
// It returns true in there, and false when that is over:
//
//	if !guardtest.Isolated(t) {
//		return
//	}
//
// Root is needed, or a system that lets users make namespaces; where there is
// neither the test is skipped and says so. `ip` of iproute2 must be installed.
func Isolated(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		for _, args := range [][]string{
			{"link", "set", "lo", "up"},
			{"address", "add", Own.String() + "/32", "dev", "lo"},
			{"-4", "route", "add", "local", "0.0.0.0/0", "dev", "lo"},
			{"-6", "route", "add", "local", "::/0", "dev", "lo"},
		} {
			if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
				t.Fatalf("ip %q, which is a command of iproute2: %v\n%s", args, err, out)
			}
		}
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	err = cmd.Start()
	if err != nil && os.Getuid() != 0 && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOSPC)) {
		t.Skipf("SKIPPED, and with it the proof that it holds: users may make no network namespaces here (%v); run it as root", err)
	}
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("in a network namespace: %v\n%s", err, &out)
	}
	// A pattern that matched nothing would pass as well.
	if !bytes.Contains(out.Bytes(), []byte("--- PASS: "+t.Name())) {
		t.Fatalf("the test did not run in its network namespace:\n%s", &out)
	}
	return false
}
