package main

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/holdfast-ipfs/holdfast/internal/text"
)

// programName is how somebody who ran this program can run it again. It is what messages
// have in place of "holdfast" where they name a command. arg0 is os.Args[0].
func programName(arg0 string) string {
	if !strings.Contains(arg0, "/") { // found by PATH
		return arg0
	}
	if strings.Contains(filepath.ToSlash(arg0), "/go-build") { // Go's cache, or a directory that is gone soon
		return "go run ./cmd/holdfast"
	}
	name := filepath.Base(arg0)
	if found, err := exec.LookPath(name); err == nil && sameFile(found, arg0) {
		return name
	}
	return text.ShellQuote(arg0)
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// asCalled puts the name that the program was called by into the commands of a message.
// In messages a command stands between backquotes and begins with "holdfast".
func (c *cli) asCalled(message string) string {
	return strings.ReplaceAll(message, "`holdfast ", "`"+cmp.Or(c.program, "holdfast")+" ")
}
