package store

import (
	"os"
	"strings"
	"testing"
)

// The table of keys is in two places, for two kinds of readers.
func TestKeyTableInDocs(t *testing.T) {
	table := func(file, indent string) string {
		b, err := os.ReadFile(file)
		must(t, err)
		var rows []string
		for line := range strings.Lines(string(b)) {
			row, ok := strings.CutPrefix(line, indent)
			if ok && (strings.HasPrefix(row, "01 NAME") || len(rows) > 0) {
				rows = append(rows, row)
			} else if len(rows) > 0 {
				break
			}
		}
		return strings.Join(rows, "")
	}
	code, docs := table("doc.go", "//\t"), table("../docs/architecture.md", "    ")
	if strings.Count(code, "\n") < 20 {
		t.Fatalf("found no table in doc.go: %q", code)
	}
	if code != docs {
		t.Errorf("doc.go has\n%s\ndocs/architecture.md has\n%s", code, docs)
	}
}
