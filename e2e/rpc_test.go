package e2e

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestRPC: Kubo's own command line reads from Holdfast what is pinned there, and prints what it
// prints for a Kubo that has the same. Another account gets nothing.
func TestRPC(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	d := allowPrivate(newData(t))
	s := serve(t, d)
	c := login(t, s)
	ctx := within(t, 120*patience)
	tree := t.TempDir()
	check(t, rig.WriteTree(tree, 812, 3, 40))
	check(t, os.Symlink("../elsewhere", filepath.Join(tree, "link")))
	check(t, os.WriteFile(filepath.Join(tree, "large ü"), rig.RandomBytes(813, 3<<20), 0o644))
	root := strings.TrimSpace(must(source.Run(ctx, nil, "add", "-r", "-Q", "--cid-version=1", tree))(t))
	pinned(t, c, rig.Pin{CID: root, Origins: source.Addrs}, 30*patience)

	at := must(url.Parse(s.HTTP))(t)
	by := func(token string, args ...string) []string {
		return append([]string{"--api", "/ip4/" + at.Hostname() + "/tcp/" + at.Port(), "--api-auth", "bearer:" + token}, args...)
	}
	file := "/ipfs/" + root + "/large ü"
	for _, args := range [][]string{
		{"cat", file},
		{"cat", "--offset=1000000", "--length=1000001", file},
		{"ls", root},
		{"ls", "--stream", "--size=false", "--resolve-type=false", root},
		{"ls", "--cid-base=base58btc", "-l", "--headers", root, file},
		{"refs", root},
		{"refs", "-r", "-u", root},
		{"refs", "-r", "--format=<src> <dst> <linkname>", root},
		{"refs", "-e", "-r", "--max-depth=2", root},
		{"dag", "export", "--progress=false", root},
		{"dag", "get", root},
		{"dag", "get", "--output-codec=dag-pb", file},
		{"dag", "stat", "--progress=false", root},
		{"dag", "stat", "--progress=false", root, file},
		{"block", "get", root},
		{"block", "stat", file},
	} {
		want := must(source.Run(ctx, nil, args...))(t)
		if got, err := source.Run(ctx, nil, by(c.Token, args...)...); err != nil || got != want {
			t.Errorf("ipfs %q prints %d bytes of %.300q, %v; want %d bytes of %.300q", args, len(got), got, err, len(want), want)
		}
	}
	for _, args := range [][]string{{"cat", root}, {"cat", root + "/nothing"}, {"ls", nobodyHas(814)}, {"get", "nonsense"}} {
		_, want := source.Run(ctx, nil, append([]string{"--offline"}, args...)...)
		_, err := source.Run(ctx, nil, by(c.Token, args...)...)
		if want == nil || err == nil {
			t.Fatalf("ipfs %q: %v, and by Holdfast %v", args, want, err)
		}
		_, said, _ := strings.Cut(want.Error(), "Error: ")
		if !strings.Contains(err.Error(), said) {
			t.Errorf("ipfs %q says %v, want %q", args, err, said)
		}
	}
	to := filepath.Join(t.TempDir(), "got")
	must(source.Run(ctx, nil, by(c.Token, "get", "--progress=false", "-o", to, root)...))(t)
	if got := must(source.Run(ctx, nil, "add", "-r", "-Q", "-n", "--cid-version=1", to))(t); strings.TrimSpace(got) != root {
		t.Errorf("what get wrote is %s, want %s", got, root)
	}
	if got := must(source.Run(ctx, nil, by(c.Token, "version", "--number")...))(t); !strings.HasPrefix(got, "0.43.0") {
		t.Errorf("the version is %q", got)
	}
	if got := must(source.Run(ctx, nil, by(c.Token, "id", "-f", "<id>")...))(t); strings.TrimSpace(got) != s.PeerID {
		t.Errorf("the ID is %q, want %s", got, s.PeerID)
	}

	check(t, d.AddUser(ctx, "bream@example.org", password))
	stranger := must(d.AddToken(ctx, "bream@example.org", "kubo"))(t)
	for _, args := range [][]string{{"cat", file}, {"ls", root}, {"dag", "export", root}, {"block", "get", root}} {
		if _, err := source.Run(ctx, nil, by(stranger, args...)...); err == nil || !strings.Contains(err.Error(), "could not find") {
			t.Errorf("another account's ipfs %q: %v", args, err)
		}
	}
	if _, err := source.Run(ctx, nil, by("nonsense", "cat", file)...); err == nil {
		t.Error("without a token Kubo reads")
	}
}

// TestRPCPins: Kubo's own command line pins and unpins at Holdfast, and prints what it prints for a
// Kubo. It and the Pinning Services API show the same requests.
func TestRPCPins(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	d := allowPrivate(newData(t))
	s := serve(t, d)
	c := login(t, s)
	connect(t, source, s)
	ctx := within(t, 120*patience)
	first := must(source.AddFile(ctx, rig.Random(821, 1<<20), 64<<10))(t)
	second := must(source.AddFile(ctx, rig.Random(822, 1<<20), 64<<10))(t)
	at := must(url.Parse(s.HTTP))(t)
	by := func(args ...string) (string, error) {
		return source.Run(ctx, nil, append([]string{"--api", "/ip4/" + at.Hostname() + "/tcp/" + at.Port(), "--api-auth", "bearer:" + c.Token}, args...)...)
	}
	for _, step := range []struct {
		args []string
		want string // or what the error has
	}{
		{[]string{"pin", "ls"}, ""},
		{[]string{"pin", "ls", first}, "Error: path '" + first + "' is not pinned"},
		{[]string{"pin", "rm", first}, "Error: not pinned or pinned indirectly"},
		{[]string{"pin", "add", "--progress", "--name=one", first}, "pinned " + first + " recursively\n"},
		{[]string{"pin", "add", first}, "pinned " + first + " recursively\n"},
		{[]string{"pin", "ls", "--names"}, first + " recursive one\n"},
		{[]string{"pin", "ls", "--stream", "--type=recursive", first}, first + " recursive\n"},
		{[]string{"pin", "ls", "-q", "--name=on"}, first + "\n"},
		{[]string{"pin", "update", second, first}, "Error: 'from' cid was not recursively pinned already"},
		{[]string{"pin", "update", first, second}, "updated " + first + " to " + second + "\n"},
		{[]string{"pin", "ls", "--names"}, second + " recursive one\n"},
	} {
		got, err := by(step.args...)
		wrong := err != nil || got != step.want
		if strings.HasPrefix(step.want, "Error: ") {
			wrong = err == nil || !strings.Contains(err.Error(), step.want)
		}
		if wrong {
			t.Errorf("ipfs %q prints %q, %v; want %q", step.args, got, err, step.want)
		}
	}
	if page := must(c.List(ctx, nil))(t); len(page.Results) != 1 || page.Results[0].Pin.CID != second || page.Results[0].Pin.Name != "one" {
		t.Errorf("the Pinning Services API lists %+v", page)
	}
	if got, err := by("pin", "rm", second); err != nil || got != "unpinned "+second+"\n" {
		t.Errorf("pin rm prints %q, %v", got, err)
	}
	if page := must(c.List(ctx, nil))(t); len(page.Results) != 0 {
		t.Errorf("after pin rm the Pinning Services API lists %+v", page)
	}
}
