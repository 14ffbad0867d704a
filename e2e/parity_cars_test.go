package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestParityCARs: CARs give the same roots at Holdfast as at a Kubo, by Kubo's command line and by
// ours: those that Kubo writes, and in the full form those of ipfs-car and @ipld/car.
func TestParityCARs(t *testing.T) {
	t.Parallel()
	root, trees := parityTrees(t)
	d := newData(t)
	s := serve(t, d)
	to := importerAt(t, s.HTTP, login(t, s).Token)
	source, ctx := sharedSource(t), t.Context()
	dir := t.TempDir()
	var cars, want []string
	for _, tree := range trees {
		if tree.Large && len(cars) > 0 && !*fullParity {
			continue
		}
		cid := must(source.AddTree(ctx, filepath.Join(root, tree.Name)))(t)
		want = append(want, cid)
		cars = append(cars, exported(t, source, cid, filepath.Join(dir, tree.Name+".car")))
	}
	if *fullParity {
		npm := npmParity(t)
		for _, tree := range trees {
			if !tree.Plain || tree.Large || len(cars) > 2*len(trees) {
				continue
			}
			car := filepath.Join(dir, tree.Name+".packed.car")
			cmd := exec.CommandContext(ctx, "node_modules/.bin/ipfs-car", "pack", "--no-wrap", "--output", car, filepath.Join(root, tree.Name))
			cmd.Dir = npm
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("ipfs-car %s (%s): %v\n%s", tree.Name, tree.Kind, err, out)
			}
			want = append(want, strings.TrimSpace(string(out)))
			cars = append(cars, car)
		}
	}
	importedBy := func(base []string, cars []string) (string, error) {
		return source.Run(ctx, nil, slices.Concat(base, []string{"dag", "import"}, cars)...)
	}
	holdfast := []string{"--api", to.api, "--api-auth", "bearer:" + to.token}
	byKubo := must(importedBy(nil, cars))(t)
	byUs := must(importedBy(holdfast, cars))(t)
	if sortedLines(byKubo) != sortedLines(byUs) {
		t.Errorf("ipfs dag import prints\n%s\nand by Holdfast\n%s", byKubo, byUs)
	}
	for _, cid := range want {
		if !strings.Contains(byUs, "Pinned root\t"+cid+"\tsuccess") {
			t.Errorf("%s is not pinned", cid)
		}
	}
	if got := lines(must(d.Run(ctx, nil, append([]string{"add", "--car", "--user", email}, cars...)...))(t)); !slices.Equal(got, want) {
		t.Errorf("holdfast add --car prints %q, want %q", got, want)
	}
	again := filepath.Join(dir, "again.car")
	must(d.Run(ctx, nil, "export", want[0], "-o", again))(t)
	if a, b := must(os.ReadFile(cars[0]))(t), must(os.ReadFile(again))(t); string(a) != string(b) {
		t.Errorf("the export has %d bytes, and Kubo's %d", len(b), len(a))
	}
	if !*fullParity {
		return
	}
	odd := t.TempDir()
	for _, name := range must(node(ctx, npmParity(t), nil, "cars.mjs", odd))(t) {
		car := []string{filepath.Join(odd, name+".car")}
		// Kubo waits for a block that nobody has.
		byKubo, kuboErr := importedBy([]string{"--timeout=10s"}, car)
		byUs, ourErr := importedBy(append([]string{"--timeout=10s"}, holdfast...), car)
		if name == "no-roots" && ourErr != nil && strings.Contains(ourErr.Error(), "nothing would be pinned") {
			continue // which Kubo imports without a word
		}
		if byKubo != byUs || (kuboErr == nil) != (ourErr == nil) {
			t.Errorf("%s: ipfs dag import prints %q, %v; and by Holdfast %q, %v", name, byKubo, kuboErr, byUs, ourErr)
		}
	}
}

// exported writes a CAR of Kubo's to a file, and gives its path.
func exported(t *testing.T, k *rig.Kubo, cid, path string) string {
	t.Helper()
	f := must(os.Create(path))(t)
	r := must(k.Export(t.Context(), cid))(t)
	defer r.Close()
	must(f.ReadFrom(r))(t)
	check(t, f.Close())
	return path
}

func sortedLines(s string) string {
	all := lines(s)
	slices.Sort(all)
	return fmt.Sprint(slices.Compact(all))
}
