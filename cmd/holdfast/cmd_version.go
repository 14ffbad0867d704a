package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version string

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  args(),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(c.stdout, "holdfast", versionLine())
			return err
		},
	}
}

// versionLine is the version, and how the program was built.
func versionLine() string {
	name, details := buildVersion()
	return fmt.Sprintf("%s (%s)", name, strings.Join(details, ", "))
}

// buildVersion gives the name of the version, and the details in versionLine.
func buildVersion() (name string, details []string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = new(debug.BuildInfo)
	}
	return versionOf(version, info)
}

// versionOf is buildVersion of any build. set is the version that -X gave the linker, or "".
func versionOf(set string, info *debug.BuildInfo) (name string, details []string) {
	details = []string{runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	commit, day, modified := "", "", false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case "vcs.time":
			day, _, _ = strings.Cut(s.Value, "T")
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if commit != "" {
		details = append(details, "commit "+commit)
	}
	if day != "" { // of the commit: that of the build would make each build another
		details = append(details, "committed "+day)
	}
	if modified {
		details = append(details, "modified")
	}
	switch {
	case set != "":
		return set, details
	case info.Main.Version != "" && info.Main.Version != "(devel)": // a downloaded module, or a build of a tag
		return info.Main.Version, details
	case commit != "":
		return "devel-" + commit, details
	}
	return "devel", append(details, "commit not known") // Go does not record it for `go run`
}
