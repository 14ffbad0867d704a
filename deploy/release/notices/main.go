// Command notices prints the licences and notices of everything that a program has in it: of
// the packages of other modules, and of Go itself.
//
//	notices PACKAGE GOOS/GOARCH...
//
// It runs in a directory of the program's module. A module without a licence is an error.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: notices PACKAGE GOOS/GOARCH...")
		os.Exit(2)
	}
	if err := write(os.Stdout, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

// goPackage is what is used of what `go list -json` says of a package.
type goPackage struct {
	Dir    string
	Module *struct {
		Path, Version, Dir string
		Main               bool
		Replace            *struct{ Path, Version, Dir string }
	}
}

// component is a module, with the directories of its packages that are in the program.
type component struct {
	name, root string
	dirs       map[string]bool
}

// write prints the texts for a program, as it is built for the given systems.
func write(w io.Writer, program string, targets []string) error {
	root, err := exec.Command("go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return fmt.Errorf("ask for Go: %w", err)
	}
	goRoot, goVersion, _ := strings.Cut(strings.TrimSpace(string(root)), "\n")
	found := map[string]*component{"": {name: "Go " + goVersion, root: goRoot, dirs: map[string]bool{goRoot: true}}}
	for _, target := range targets {
		if err := addPackages(found, program, target); err != nil {
			return err
		}
	}

	var components []*component
	for _, c := range found {
		components = append(components, c)
	}
	slices.SortFunc(components, func(a, b *component) int { return cmp.Compare(a.name, b.name) })
	fmt.Fprint(w, "Holdfast has the following in it. The source of NAME VERSION is at https://pkg.go.dev/NAME@VERSION.\n")
	for _, c := range components {
		files, err := c.files()
		if err != nil {
			return err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(c.root, file)
			if err != nil {
				return err
			}
			text = bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
			fmt.Fprintf(w, "\n%s\n%s: %s\n\n%s\n", strings.Repeat("=", 80), c.name, filepath.ToSlash(name), text)
		}
	}
	return nil
}

// addPackages adds the packages of a program on a system to those that were found.
func addPackages(found map[string]*component, program, target string) error {
	system, processor, ok := strings.Cut(target, "/")
	if !ok {
		return fmt.Errorf("%q is not GOOS/GOARCH", target)
	}
	list := exec.Command("go", "list", "-deps", "-json=Dir,Module", program)
	list.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "CGO_ENABLED=0")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("list the packages for %s: %w", target, err)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the list of packages: %w", err)
		}
		if p.Module == nil || p.Module.Main { // Go's own, and ours
			continue
		}
		m := p.Module
		name, root := m.Path+" "+m.Version, m.Dir
		if m.Replace != nil {
			name, root = m.Replace.Path+" "+m.Replace.Version, m.Replace.Dir
		}
		if found[name] == nil {
			found[name] = &component{name: name, root: root, dirs: make(map[string]bool)}
		}
		for dir := p.Dir; ; dir = filepath.Dir(dir) { // a package is also under what is above it
			found[name].dirs[dir] = true
			if dir == root || len(dir) < len(root) {
				break
			}
		}
	}
}

var (
	licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)`)
	noticeFile  = regexp.MustCompile(`(?i)^(notice|copyright|patents|authors)`)
	sourceFile  = regexp.MustCompile(`\.(go|s|c|h|py|sh|json|ya?ml)$`)
)

// files lists the files with the licences and notices of a component, sorted.
func (c *component) files() (files []string, err error) {
	licences := 0
	for dir := range c.dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || sourceFile.MatchString(e.Name()) {
				continue
			}
			licence := licenceFile.MatchString(e.Name())
			if licence {
				licences++
			}
			if licence || noticeFile.MatchString(e.Name()) {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
	}
	if licences == 0 {
		return nil, fmt.Errorf("%s in %s has no licence", c.name, c.root)
	}
	slices.Sort(files)
	return files, nil
}
