package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var codeSpan = regexp.MustCompile("`([^`]+)`")

// What docs/architecture.md says about the code is there: the functions of each row of its
// tables are in the file that the row names, each room has the door that its row gives, and
// every file that the text names exists.
func TestArchitectureIsTrue(t *testing.T) {
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows, rooms int
	named := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
			if strings.HasSuffix(m[1], ".go") && m[1] != "doc.go" {
				if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
					t.Errorf("the file of %q: %v", strings.TrimSpace(line), err)
				}
			}
		}
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			continue
		}
		for i := range cells[1:4] { // a path stands before what is in it
			path, names := only(cells[i+1]), spans(cells[min(i+2, 4)])
			if strings.HasSuffix(path, ".go") {
				rows++
				checkNames(t, path, declared(t, filepath.Join("../..", path)), names, "func ")
			}
		}
		if room := only(cells[1]); room != "" && !strings.HasSuffix(room, ".go") {
			if _, ok := ourImports[room]; !ok && !strings.HasPrefix(room, "internal/") {
				continue // it is no room
			}
			rooms++
			named[room] = true
			checkNames(t, room, declared(t, filepath.Join("../..", room, "*.go")), spans(cells[3]), "")
		}
	}
	for room := range ourImports {
		if !named[room] {
			t.Errorf("the room %s is in no table", room)
		}
	}
	if rows < 80 || rooms < 40 { // they would be written in another way now
		t.Errorf("only %d rows and %d rooms were found", rows, rooms)
	}
}

// only is the text of a cell that is one code span and nothing else.
func only(cell string) string {
	if m := codeSpan.FindStringSubmatch(cell); m != nil && m[0] == strings.TrimSpace(cell) {
		return m[1]
	}
	return ""
}

// spans are the code spans of a cell.
func spans(cell string) (all []string) {
	for _, m := range codeSpan.FindAllStringSubmatch(cell, -1) {
		all = append(all, m[1])
	}
	return all
}

// checkNames looks for names among what a file or a package declares. A name there has what
// comes before it if it is that kind of thing.
func checkNames(t *testing.T, where string, declared map[string]bool, names []string, kind string) {
	t.Helper()
	for _, name := range names {
		if !declared[kind+name] {
			t.Errorf("%s declares no %s%s", where, kind, name)
		}
	}
}

// declared gives the names that files declare at their top. Functions stand there a second
// time as "func Name" or "func Type.Name".
func declared(t *testing.T, pattern string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				name := d.Name.Name
				if d.Recv != nil {
					of := d.Recv.List[0].Type
					if star, ok := of.(*ast.StarExpr); ok {
						of = star.X
					}
					if id, ok := of.(*ast.Ident); ok {
						name = id.Name + "." + name
					}
				}
				names[name], names["func "+name] = true, true
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						names[s.Name.Name] = true
					case *ast.ValueSpec:
						for _, id := range s.Names {
							names[id.Name] = true
						}
					}
				}
			}
		}
	}
	return names
}
