package main

import (
	"bytes"
	"testing"

	"github.com/holdfast-ipfs/holdfast/admin"
)

// Whatever is not as it should be makes a restore end with an error.
func TestRestoredExitCode(t *testing.T) {
	for name, tc := range map[string]struct {
		done  admin.Restored
		fails bool
	}{
		"whole":        {admin.Restored{Blocks: 3}, false},
		"missing":      {admin.Restored{Missing: 2}, true},
		"damaged":      {admin.Restored{Damaged: []admin.DamagedFile{{File: "a.car", Reason: "another length"}}}, true},
		"stuck":        {admin.Restored{Waiting: 1, Stuck: 1}, true},
		"lost records": {admin.Restored{LostRecords: 1}, true},
		"unreadable":   {admin.Restored{Unreadable: 1}, true},
		"queued":       {admin.Restored{Waiting: 1}, false}, // as it was in the backup
		"left out":     {admin.Restored{LeftOut: []admin.LeftOut{{Account: "a@example.org", Pins: 1, Reason: "its record"}}}, true},
		"removed here": {admin.Restored{LeftOut: []admin.LeftOut{{Account: "a@example.org", Removed: true}}}, false},
	} {
		for _, asJSON := range []bool{false, true} {
			c := &cli{stdout: new(bytes.Buffer)}
			if err := c.printRestored(tc.done, asJSON); (err != nil) != tc.fails {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
