package main

import (
	"runtime/debug"
	"slices"
	"testing"
)

// A build says which version and commit it is, as far as that is known. It never says "(devel)".
func TestVersionOf(t *testing.T) {
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.time", Value: "2026-11-30T02:48:00Z"}, {Key: "vcs.modified", Value: "true"}}
	for _, tt := range []struct {
		set, module string
		settings    []debug.BuildSetting
		want        string
		commit      bool
	}{
		{"1.2.3", "(devel)", vcs, "1.2.3", true},
		{"", "v1.2.3", nil, "v1.2.3", false},
		{"", "v0.0.0-20261130024800-0123456789ab+dirty", vcs, "v0.0.0-20261130024800-0123456789ab+dirty", true},
		{"", "(devel)", vcs, "devel-0123456789ab", true},
		{"", "(devel)", nil, "devel", false},
		{"", "", nil, "devel", false},
	} {
		name, details := versionOf(tt.set, &debug.BuildInfo{Main: debug.Module{Version: tt.module}, Settings: tt.settings})
		if name != tt.want || slices.Contains(details, "commit 0123456789ab") != tt.commit || slices.Contains(details, "modified") != tt.commit ||
			slices.Contains(details, "committed 2026-11-30") != tt.commit ||
			slices.Contains(details, "commit not known") != (tt.want == "devel") {
			t.Errorf("%q of %q is %q %v, want %q", tt.set, tt.module, name, details, tt.want)
		}
	}
}
