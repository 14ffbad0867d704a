//go:build browser

package web

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/chromedp/chromedp"
)

// The accessibility checker, and the hash of its file.
const (
	axePackage = "axe-core@4.14.1"
	axeSum     = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
)

var axeScript = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "holdfast-axe-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	pack := exec.Command("npm", "pack", "--silent", axePackage)
	pack.Dir = dir
	archive, err := pack.Output()
	if err != nil {
		return "", err
	}
	unpack := exec.Command("tar", "-xzf", filepath.Clean(string(archive[:len(archive)-1])), "package/axe.min.js")
	unpack.Dir = dir
	if err := unpack.Run(); err != nil {
		return "", err
	}
	b, err := os.ReadFile(filepath.Join(dir, "package/axe.min.js"))
	return string(b), err
})

// accessible fails the test for each violation of WCAG 2.2 AA, or of what axe calls good
// practice, on the page as it is.
func (tab *tab) accessible(what string) {
	tab.t.Helper()
	script, err := axeScript()
	if err != nil {
		tab.t.Fatalf("get %s: %v", axePackage, err)
	}
	sum := sha256.Sum256([]byte(script))
	if got := hex.EncodeToString(sum[:]); got != axeSum {
		tab.t.Fatalf("%s is not what it was: its hash is %s", axePackage, got)
	}
	var has bool
	tab.run(chromedp.Evaluate(`typeof axe === "object"`, &has))
	if !has {
		tab.run(chromedp.Evaluate(script+";0", nil))
	}
	var found []struct {
		Id, Impact, Help string
		Nodes            []struct{ Html, FailureSummary string }
	}
	// What is in a frame with a sandbox is not ours.
	tab.evaluate(`axe.run({exclude: ["iframe"]}, {
		iframes: false,
		runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
	}).then(r => r.violations)`, &found)
	for _, v := range found {
		for _, n := range v.Nodes {
			tab.t.Errorf("%s: %s (%s): %s\n%s\n%s", what, v.Id, v.Impact, v.Help, n.Html, n.FailureSummary)
		}
	}
}
