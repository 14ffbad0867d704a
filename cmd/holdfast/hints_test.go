package main

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"

	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

func TestHints(t *testing.T) {
	var out bytes.Buffer
	c := &cli{program: "./holdfast"}
	printError := c.printError
	printError(&out, hint.Add(errors.New("it broke"), "mend it"))
	if want := "holdfast: error: it broke\nhint: mend it\n"; out.String() != want {
		t.Errorf("printed %q, want %q", &out, want)
	}
	out.Reset()
	printError(&out, errors.Join(hint.Add(errors.New("it broke"), "mend it"), errors.New("twice")))
	if want := "holdfast: error: it broke\ntwice\nhint: mend it\n"; out.String() != want {
		t.Errorf("printed %q, want %q", &out, want)
	}
	out.Reset()
	printError(&out, hint.Add(errors.New("run `holdfast user ls`"), "`holdfast pin ls` and holdfast"))
	if want := "holdfast: error: run `./holdfast user ls`\nhint: `./holdfast pin ls` and holdfast\n"; out.String() != want {
		t.Errorf("printed %q, want %q", &out, want)
	}
	out.Reset()
	printError(&out, hintOwner(hint.Add(fs.ErrPermission, "take another port")))
	if want := "holdfast: error: permission denied\nhint: take another port\n"; out.String() != want {
		t.Errorf("printed %q, want %q", &out, want)
	}
	out.Reset()
	printError(&out, errors.New("it broke"))
	if want := "holdfast: error: it broke\n"; out.String() != want {
		t.Errorf("printed %q, want %q", &out, want)
	}
}
