package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
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

// versionLine says what was built, of what, and with what.
func versionLine() string {
	name, details := buildVersion()
	return fmt.Sprintf("%s (%s)", name, strings.Join(details, ", "))
}

// buildVersion is the name of the version, and the details of versionLine.
func buildVersion() (name string, details []string) {
	name, details = version, []string{runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if name == "" {
			name = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				details = append(details, "commit "+s.Value[:min(12, len(s.Value))])
			case s.Key == "vcs.modified" && s.Value == "true":
				details = append(details, "modified")
			}
		}
	}
	if name == "" {
		name = "devel"
	}
	return name, details
}
