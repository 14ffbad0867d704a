package config

import (
	"math"
	"runtime/debug"
	"testing"

	"github.com/spf13/pflag"
)

func TestProfiles(t *testing.T) {
	const MiB = 1 << 20
	small := NewProfile(ProfileSmall, Machine{Memory: 512 * MiB, Files: 1024})
	usual := NewProfile(profileDefault, Machine{Memory: 8 << 30, Files: 65536})
	large := NewProfile(profileLarge, Machine{Memory: 64 << 30, Files: 1 << 20})
	for i, p := range []Profile{small, usual, large} {
		if p.Limits.Memory == 0 || p.Limits.Files == 0 || p.memoryLimit == 0 || p.gcPercent == 0 {
			t.Errorf("profile %d leaves something to chance: %+v", i, p)
		}
		if i == 0 {
			continue
		}
		less := []Profile{small, usual}[i-1]
		if p.Limits.Memory <= less.Limits.Memory || p.Limits.ConnHigh <= less.Limits.ConnHigh ||
			p.Limits.BlockReaders <= less.Limits.BlockReaders || p.Limits.OutstandingBytes <= less.Limits.OutstandingBytes {
			t.Errorf("%+v is not more than %+v", p.Limits, less.Limits)
		}
	}
	if small.memoryLimit+small.Limits.Memory > 512*MiB {
		t.Errorf("more than all of the memory is given away: %+v", small)
	}
	// A profile must not need a machine of that size.
	for _, name := range []string{ProfileSmall, profileDefault, profileLarge} {
		if p := NewProfile(name, Machine{Memory: 256 * MiB, Files: math.MaxUint64}); p.Limits.Memory > 256*MiB || p.Limits.Files <= 0 {
			t.Errorf("%s on 256 MiB: %+v", name, p)
		}
	}
}

// What the operator sets for Go's collector stays.
func TestProfileLeavesTheOperatorsOwn(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	defer func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) }()
	p := Profile{gcPercent: 50, memoryLimit: 3 << 30}
	set := map[string]string{"GOGC": "200", "GOMEMLIMIT": "1GiB"}
	p.Apply(func(name string) string { return set[name] })
	if got := p.GCPercent(func(name string) string { return set[name] }); got != 0 {
		t.Errorf("GOGC was set, and the profile goes by %d", got)
	}
	if got := p.GCPercent(func(string) string { return "" }); got != 50 {
		t.Errorf("the profile goes by %d", got)
	}
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("GOGC was set, and is %d now", got)
	}
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("GOMEMLIMIT was set, and is %d now", got)
	}
	p.Apply(func(string) string { return "" })
	if got := debug.SetGCPercent(100); got != 50 {
		t.Errorf("GOGC is %d", got)
	}
	if got := debug.SetMemoryLimit(-1); got != 3<<30 {
		t.Errorf("GOMEMLIMIT is %d", got)
	}
}

// Everything that is set wins over the defaults of a profile.
func TestProfileDefaults(t *testing.T) {
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	AddConfigFlags(flags)
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
		got, _, err := Load(writeFile(t, c.file), c.env, flags)
		if err != nil {
			t.Fatal(err)
		}
		if got.Node.Profile != ProfileSmall || got.Pin.Workers != c.want {
			t.Errorf("%q and %q: profile %s with %d workers, want %d", c.file, c.env, got.Node.Profile, got.Pin.Workers, c.want)
		}
	}
}
