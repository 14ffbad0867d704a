package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
)

func (c *cli) configCommand() *cobra.Command {
	return group("config", "Check the configuration", c.configCheckCommand())
}

// checkedConfig is what `config check --json` prints.
type checkedConfig struct {
	Valid    bool             `json:"valid"`
	File     string           `json:"file,omitempty"` // left out: none was read
	Errors   []string         `json:"errors,omitempty"`
	Warnings []string         `json:"warnings,omitempty"`
	Settings []config.Setting `json:"settings,omitempty"`
}

func (c *cli) configCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the file and the environment, and show what sets each key",
		Long: `Read the configuration as "holdfast serve" would, without its flags, and print every
key with its value and where that comes from: a variable, the file, the profile of
node.profile, or the default. Nothing is started, and the data directory is not used.

The command fails if something is wrong, and names each fault. Files and addresses that
the configuration names are not opened.`,
		Args: args(),
		RunE: func(*cobra.Command, []string) error {
			path := c.configPath()
			cfg, warnings, err := config.Load(path, c.environ, nil)
			out := checkedConfig{Valid: err == nil, File: path, Warnings: warnings}
			if err == nil {
				out.Settings, err = config.Sources(cfg, path, c.environ)
			} else {
				out.Errors = strings.Split(err.Error(), "\n")
			}
			if asJSON {
				if printErr := c.printJSON(out); printErr != nil {
					return printErr
				}
				return err
			}
			if err != nil {
				return err
			}
			for _, w := range warnings {
				fmt.Fprintln(c.stderr, "holdfast: warning:", w)
			}
			rows := [][]string{{"KEY", "FROM", "VALUE"}}
			for _, s := range out.Settings {
				rows = append(rows, []string{s.Key, s.From, cmp.Or(s.Text, `""`)})
			}
			if err := c.printTable(rows); err != nil {
				return err
			}
			fmt.Fprintf(c.stderr, "the configuration is good; file: %s\n", cmp.Or(path, "none"))
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
