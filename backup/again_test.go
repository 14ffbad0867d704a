package backup_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// checkAll fails if a check finds something, or files that no backup needs are in the place.
func checkAll(t *testing.T, p backup.Place, dir string, needed ...*backup.Manifest) {
	t.Helper()
	_, err := backup.Check(t.Context(), p, nil, "", func(backup.Progress) {}, func(f backup.Fault) error {
		t.Errorf("fault %+v", f)
		return nil
	})
	must(t, err)
	packs := map[string]bool{}
	for _, m := range needed {
		for _, pk := range m.Packs {
			packs[pk.Name] = true
		}
	}
	names, err := p.List(t.Context(), "")
	must(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, ".car") && !packs[name] || strings.HasSuffix(name, ".unfinished") {
			t.Errorf("%s is left in %s", name, dir)
		}
	}
}

// TestLittleUsedPack: what a backup still needs of a pack of which it needs little is written anew, beside what is
// new, and other packs are used as before.
func TestLittleUsedPack(t *testing.T) {
	o, p, dir, _, _ := filled(t, 0)
	roots, net := dagsOf(50, 20_000)
	var requests []pin.Request
	for i, root := range roots[:30] {
		r, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
		if requests = append(requests, r); i == 9 {
			run(t, o, p, nil)
		}
	}
	before := run(t, o, p, nil)
	for _, r := range requests[1:10] {
		must(t, o.unpin(t.Context(), r.ID))
	}
	for _, r := range requests[10:25] {
		must(t, o.unpin(t.Context(), r.ID))
	}
	for _, root := range roots[30:] {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
	}
	m := run(t, o, p, nil)
	if len(before.Packs) != 2 || m.NewBlocks == 0 || m.NewBlocks == m.Blocks {
		t.Errorf("the backup before had %d packs; this one has %d blocks, of which it wrote %d", len(before.Packs), m.Blocks, m.NewBlocks)
	}
	used := uint64(0)
	for _, pk := range m.Packs {
		used += pk.UsedBlocks
		if pk.UsedBytes < pk.Bytes/2 {
			t.Errorf("of %s %d bytes are used of %d", pk.Name, pk.UsedBytes, pk.Bytes)
		}
	}
	if used != m.Blocks {
		t.Errorf("of packs %d blocks are used, and there are %d", used, m.Blocks)
	}
	_, err := backup.Prune(t.Context(), p, nil, backup.Keep{}, m.Finished)
	must(t, err)
	checkAll(t, p, dir, m)
	to := t.TempDir()
	if done := restore(t, to, p, nil, m.ID); done.Missing > 0 || done.Blocks != m.Blocks {
		t.Errorf("restored %+v", done)
	}
	open(t, to).verify(t)
}

// TestDamagedListIsFoundLate: what a backup wrote before it found that the last one's list is damaged is not used,
// and does not stay. Everything is written anew.
func TestDamagedListIsFoundLate(t *testing.T) {
	o, p, dir, _, _ := filled(t, 10)
	first := run(t, o, p, nil)
	more, net := dagsOf(20, 3000)
	for _, root := range more {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
	}
	path := filepath.Join(dir, first.List.Name)
	b, err := os.ReadFile(path)
	must(t, err)
	b[len(b)-10] ^= 1 // in the last entry
	must(t, os.WriteFile(path, b, 0o600))
	m := run(t, o, p, nil)
	if m.NewBlocks != m.Blocks || m.Blocks <= first.Blocks {
		t.Errorf("of %d blocks %d are new", m.Blocks, m.NewBlocks)
	}
	_, err = backup.Prune(t.Context(), p, nil, backup.Keep{}, m.Finished)
	must(t, err)
	checkAll(t, p, dir, m)
	to := t.TempDir()
	if done := restore(t, to, p, nil, m.ID); done.Missing > 0 || done.Blocks != m.Blocks {
		t.Errorf("restored %+v", done)
	}
	open(t, to).verify(t)
}
