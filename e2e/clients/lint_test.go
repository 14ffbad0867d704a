package clients

import (
	"encoding/json"
	"testing"
)

// TestDescription has two linters read the description. They find nothing: no error, no
// warning and no hint.
func TestDescription(t *testing.T) {
	dir := t.TempDir()
	npm(t, "lint", dir)
	t.Setenv("REDOCLY_TELEMETRY", "off")
	t.Setenv("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")
	t.Run("redocly", func(t *testing.T) {
		out := run(t, dir, "npx", "redocly", "lint", "--format=json", "openapi.yaml")
		var found struct {
			Totals struct{ Errors, Warnings, Ignored int }
		}
		if err := json.Unmarshal([]byte(out), &found); err != nil {
			t.Fatal(err)
		}
		if n := found.Totals; n.Errors+n.Warnings+n.Ignored > 0 {
			t.Error(out)
		}
	})
	t.Run("spectral", func(t *testing.T) {
		run(t, dir, "npx", "spectral", "lint", "--fail-severity=hint", "openapi.yaml")
	})
}
