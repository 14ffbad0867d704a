package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// dag is a DAG to pin.
type dag struct {
	name   string
	target float64 // how many times as fast as Kubo Holdfast has to pin it
	cid    string
}

// content is the content of the source.
type content struct {
	blocks dag // 102,400 leaves of 4 KiB, 589 nodes of up to 174 links, 4 above, the root
	small  dag // 20,000 files, 100 directories, the root
	large  dag // 1 GiB in blocks of 1 MiB
	// old and new are two versions of a directory of 1,000 files and some 100,000
	// blocks. One file differs.
	old, new string
}

// pinned lists the DAGs that both pin, in order.
func (c *content) pinned() []dag { return []dag{c.blocks, c.small, c.large} }

func newContent() *content {
	return &content{
		blocks: dag{name: "102,994 blocks of 4 KiB", target: 8},
		small:  dag{name: "directory of 20,101 small blocks", target: 15},
		large:  dag{name: "1 GiB in 1 MiB blocks", target: 1.2},
	}
}

func addBlocks(ctx context.Context, source *rig.Kubo) (string, error) {
	return source.AddFile(ctx, rig.Random(1, 400<<20), 4<<10)
}

func addLarge(ctx context.Context, source *rig.Kubo) (string, error) {
	return source.AddFile(ctx, rig.Random(3, 1<<30), 1<<20)
}

func addContent(ctx context.Context, source *rig.Kubo, say func(string, ...any)) (*content, error) {
	c := newContent()
	for _, step := range []struct {
		what string
		into *string
		add  func() (string, error)
	}{
		{c.blocks.name, &c.blocks.cid, func() (string, error) { return addBlocks(ctx, source) }},
		{c.small.name, &c.small.cid, func() (string, error) { return addSmallFiles(ctx, source) }},
		{c.large.name, &c.large.cid, func() (string, error) { return addLarge(ctx, source) }},
	} {
		say("adding to the source: %s", step.what)
		cid, err := step.add()
		if err != nil {
			return nil, fmt.Errorf("add %s: %w", step.what, err)
		}
		*step.into = cid
	}
	say("adding to the source: two versions of a directory")
	var err error
	if c.old, c.new, err = addVersions(ctx, source); err != nil {
		return nil, fmt.Errorf("add two versions: %w", err)
	}
	return c, nil
}

func addSmallFiles(ctx context.Context, source *rig.Kubo) (string, error) {
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := rig.WriteTree(dir, 2, 100, 200); err != nil {
		return "", err
	}
	return source.AddTree(ctx, dir)
}

// addVersions adds 10 directories of 100 files of 100 blocks each, and then the same with one file
// changed.
func addVersions(ctx context.Context, source *rig.Kubo) (old, new string, err error) {
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(dir)
	write := func(i int, seed uint64) error {
		sub := filepath.Join(dir, fmt.Sprint(i/100))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(sub, fmt.Sprint(i%100)), rig.RandomBytes(seed, 400<<10), 0o644)
	}
	add := func() (string, error) {
		out, err := source.Run(ctx, nil, "add", "-r", "-Q", "--cid-version=1", "--raw-leaves", "--chunker=size-4096", "--pin=false", dir)
		return strings.TrimSpace(out), err
	}
	for i := range 1000 {
		if err := write(i, uint64(1000+i)); err != nil {
			return "", "", err
		}
	}
	if old, err = add(); err != nil {
		return "", "", err
	}
	if err := write(567, 9999); err != nil {
		return "", "", err
	}
	new, err = add()
	return old, new, err
}
