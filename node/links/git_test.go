package links

import (
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multicodec"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
)

func gitObject(kind, body string) []byte { return dagtest.Git(kind, body).RawData() }

// gitName is what Git calls an object with some text.
func gitName(text string) string { return dagtest.GitName(dagtest.Git("blob", text)) }

func gitSum(text string) []byte { return dagtest.GitSum(dagtest.Git("blob", text)) }

func TestGit(t *testing.T) {
	a, err := gitCID(gitSum("a"))
	if err != nil {
		t.Fatal(err)
	}
	// The CID is that of the object as a block with SHA-1.
	if want := dagtest.Git("blob", "a").Cid(); a != want {
		t.Fatalf("%s, want %s", a, want)
	}
	b, _ := gitCID(gitSum("b"))
	c, _ := gitCID(gitSum("c"))
	people := "author A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n"
	long := strings.Repeat("x", 10_000)
	for name, k := range map[string]struct {
		data string
		want []cid.Cid // nil is that it is refused
		says string
	}{
		"blob":                 {string(gitObject("blob", "tree "+gitName("a"))), []cid.Cid{}, ""},
		"empty blob":           {"blob 0\x00", []cid.Cid{}, ""},
		"empty tree":           {"tree 0\x00", []cid.Cid{}, ""},
		"tree with submodule":  {string(gitObject("tree", "100644 f\x00"+string(gitSum("a"))+"40000 d\x00"+string(gitSum("b"))+"160000 s p\x00"+string(gitSum("c")))), []cid.Cid{a, b, c}, ""},
		"same name twice":      {string(gitObject("tree", "100644 f\x00"+string(gitSum("a"))+"100644 f\x00"+string(gitSum("b")))), []cid.Cid{a, b}, ""},
		"first commit":         {string(gitObject("commit", "tree "+gitName("a")+"\n"+people+"\nhello")), []cid.Cid{a}, ""},
		"merge":                {string(gitObject("commit", "tree "+gitName("a")+"\nparent "+gitName("b")+"\nparent "+gitName("c")+"\n"+people+"\n\nparent x\n")), []cid.Cid{a, b, c}, ""},
		"merged tag":           {string(gitObject("commit", "tree "+gitName("a")+"\n"+people+"mergetag object "+gitName("b")+"\n type commit\n tag v1\n \n tree x\n\nhello")), []cid.Cid{a, b}, ""},
		"signed by SSH":        {string(gitObject("commit", "tree "+gitName("a")+"\n"+people+"gpgsig -----BEGIN SSH SIGNATURE-----\n U1NI\n -----END SSH SIGNATURE-----\n\nhello")), []cid.Cid{a}, ""},
		"long header":          {string(gitObject("commit", "tree "+gitName("a")+"\n"+people+"note "+long+"\nparent "+gitName("b")+"\n\n")), []cid.Cid{a, b}, ""},
		"odd people":           {string(gitObject("commit", "tree "+gitName("a")+"\nauthor nobody\n\n")), []cid.Cid{a}, ""},
		"without a message":    {string(gitObject("commit", "tree "+gitName("a"))), []cid.Cid{a}, ""},
		"tag":                  {string(gitObject("tag", "object "+gitName("a")+"\ntype commit\ntag v1\n\nobject x")), []cid.Cid{a}, ""},
		"tag with a signature": {string(gitObject("tag", "object "+gitName("a")+"\ntype commit\ngpgsig x\n y\n\n")), []cid.Cid{a}, ""},
		"commit without tree":  {string(gitObject("commit", people+"\n")), nil, "it has no tree"},
		"tag of nothing":       {string(gitObject("tag", "type commit\n\n")), nil, "it has no object"},
		"SHA-256":              {string(gitObject("commit", "tree "+strings.Repeat("a", 64)+"\n\n")), nil, "has no SHA-1"},
		"tree cut off":         {string(gitObject("tree", "100644 f\x00"+string(gitSum("a"))[:10])), nil, "cut off"},
		"entry cut off":        {string(gitObject("tree", "100644 f")), nil, "cut off"},
		"entry without mode":   {string(gitObject("tree", "f\x00"+string(gitSum("a")))), nil, "has no mode"},
		"blob cut off":         {"blob 5\x00abc", nil, "cut off"},
		"another type":         {"note 1\x00a", nil, `"note" is no type`},
		"no size":              {"blob\x00abc", nil, "does not begin as"},
		"negative size":        {"blob -1\x00abc", nil, "does not begin as"},
		"no end of the head":   {"blob " + long, nil, "does not begin as"},
		"nothing":              {"", nil, "does not begin as"},
	} {
		got, err := Of(under(multicodec.GitRaw), []byte(k.data))
		switch {
		case k.want == nil && (err == nil || !strings.Contains(err.Error(), k.says)):
			t.Errorf("%s: %v, want %q", name, err, k.says)
		case k.want != nil && (err != nil || !slices.Equal(got, k.want)):
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
