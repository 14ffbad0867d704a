package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/pflag"
)

func TestProfiles(t *testing.T) {
	const MiB = 1 << 20
	small := newProfile(profileSmall, machine{memory: 512 * MiB, files: 1024})
	usual := newProfile(profileDefault, machine{memory: 8 << 30, files: 65536})
	large := newProfile(profileLarge, machine{memory: 64 << 30, files: 1 << 20})
	for i, p := range []profile{small, usual, large} {
		if p.limits.Memory == 0 || p.limits.Files == 0 || p.memoryLimit == 0 || p.gcPercent == 0 {
			t.Errorf("profile %d leaves something to chance: %+v", i, p)
		}
		if i == 0 {
			continue
		}
		less := []profile{small, usual}[i-1]
		if p.limits.Memory <= less.limits.Memory || p.limits.ConnHigh <= less.limits.ConnHigh ||
			p.limits.BlockReaders <= less.limits.BlockReaders || p.limits.OutstandingBytes <= less.limits.OutstandingBytes {
			t.Errorf("%+v is not more than %+v", p.limits, less.limits)
		}
	}
	if small.memoryLimit+small.limits.Memory > 512*MiB {
		t.Errorf("more than all of the memory is given away: %+v", small)
	}
	// Nobody has to have a machine of that size for a profile's sake.
	for _, name := range []string{profileSmall, profileDefault, profileLarge} {
		if p := newProfile(name, machine{memory: 256 * MiB, files: math.MaxUint64}); p.limits.Memory > 256*MiB || p.limits.Files <= 0 {
			t.Errorf("%s on 256 MiB: %+v", name, p)
		}
	}
}

// What the operator says of Go's collector holds.
func TestProfileLeavesTheOperatorsOwn(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	defer func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) }()
	p := profile{gcPercent: 50, memoryLimit: 3 << 30}
	set := map[string]string{"GOGC": "200", "GOMEMLIMIT": "1GiB"}
	p.apply(func(name string) string { return set[name] })
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("GOGC was set, and is %d now", got)
	}
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("GOMEMLIMIT was set, and is %d now", got)
	}
	p.apply(func(string) string { return "" })
	if got := debug.SetGCPercent(100); got != 50 {
		t.Errorf("GOGC is %d", got)
	}
	if got := debug.SetMemoryLimit(-1); got != 3<<30 {
		t.Errorf("GOMEMLIMIT is %d", got)
	}
}

// A profile's defaults are below everything that is set.
func TestProfileDefaults(t *testing.T) {
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	addConfigFlags(flags)
	if err := flags.Parse([]string{"--node-profile", "small"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file string
		env  []string
		want int
	}{
		{"[pin]\n", nil, 4},
		{"[pin]\nworkers = 16\n", nil, 16},
		{"[node]\nprofile = \"large\"\n", []string{"HOLDFAST_PIN_WORKERS=9"}, 9},
	} {
		got, _, err := loadConfig(writeFile(t, c.file), c.env, flags)
		if err != nil {
			t.Fatal(err)
		}
		if got.Node.Profile != profileSmall || got.Pin.Workers != c.want {
			t.Errorf("%q and %q: profile %s with %d workers, want %d", c.file, c.env, got.Node.Profile, got.Pin.Workers, c.want)
		}
	}
}

// The server says in one line what it goes by, and has as many files as it may.
func TestLimitsAreLogged(t *testing.T) {
	var hard syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &hard); err != nil {
		t.Fatal(err)
	}
	s := &server{data: t.TempDir(), log: new(logLines)}
	s.Cmd = holdfastCmd(t, s.data, "serve")
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	s.Path, s.Args = sh, append([]string{"sh", "-c", `ulimit -S -n 256 && exec "$0" "$@"`, s.Path}, s.Args[1:]...)
	s.Env = append(s.Env, "HOLDFAST_NODE_PROFILE=small", "GOMEMLIMIT=300MiB")
	s.Stderr = s.log
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Process.Kill(); s.Wait() })
	awaitReady(t, s.data, s.Process.Pid)
	line := regexp.MustCompile(`(?m)^.*msg=limits .*$`).FindAllString(s.log.String(), -1)
	if len(line) != 1 {
		t.Fatalf("the limits are logged %d times:\n%s", len(line), s.log)
	}
	for _, want := range []string{
		"profile=small", `heap_limit="300 MiB"`, "peers=96", "pin_workers=4", "memory=",
	} {
		if !strings.Contains(line[0], want) {
			t.Errorf("the line has no %s:\n%s", want, line[0])
		}
	}
	// Go goes to the hard limit, or to one less.
	var files uint64
	if m := regexp.MustCompile(`open_files=(\d+)`).FindStringSubmatch(line[0]); m == nil {
		t.Errorf("the line has no open_files:\n%s", line[0])
	} else if fmt.Sscan(m[1], &files); files+1 < hard.Max {
		t.Errorf("%d files may be open, and %d could be", files, hard.Max)
	}
}

// A key in the data directory makes the network a private one, as in Kubo.
func TestSwarmKeyInTheDataDirectory(t *testing.T) {
	p, lines := testProgram(t, testDataDir(t))
	key := "/key/swarm/psk/1.0.0/\n/base16/\n" + strings.Repeat("ab", 32) + "\n"
	if err := os.WriteFile(p.Data.file(swarmKeyName), []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines.await(t, "private network: only peers with the same swarm key")

	p, _ = testProgram(t, testDataDir(t))
	p.Config.Node.SwarmKey = filepath.Join(t.TempDir(), "none.key")
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "none.key") {
		t.Errorf("with a key that is not there the error is %v", err)
	}
}
