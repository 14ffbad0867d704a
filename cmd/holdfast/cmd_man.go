package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand is for those who make packages. It is hidden, as nobody needs it on a host.
func (c *cli) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write manual pages into a directory",
		Hidden: true,
		Args:   args("DIR"),
		RunE: func(cmd *cobra.Command, given []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true // the same input gives the same pages
			name, _ := buildVersion()
			if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "Holdfast " + name, Manual: "Holdfast"}, given[0]); err != nil {
				return fmt.Errorf("write the manual pages: %w", err)
			}
			return nil
		},
	}
}
