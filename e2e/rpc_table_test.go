package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// rpcCall is a call to Kubo's RPC. differs are keys of the table in docs/rpc.md: in which ways the
// answers of Kubo and Holdfast are not the same.
type rpcCall struct {
	command, query string
	differs        string
	method         string      // "" is POST
	header         http.Header // beside the token
	body           func() (contentType string, body []byte)
}

// rpcAnswer is what is compared of an answer.
type rpcAnswer struct {
	status  int
	header  map[string]string
	trailer string
	body    any // decoded, if it is JSON; else a string
}

// comparedHeaders are those that say what an answer is. Others are about the connection.
var comparedHeaders = []string{
	"Content-Type", "X-Stream-Output", "X-Chunked-Output", "X-Content-Length", "Access-Control-Allow-Origin", "Allow",
}

func askRPC(ctx context.Context, base, token string, c rpcCall) (a rpcAnswer, err error) {
	var body io.Reader
	contentType := ""
	if c.body != nil {
		var b []byte
		contentType, b = c.body()
		body = bytes.NewReader(b)
	}
	method := c.method
	if method == "" {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(ctx, method, base+"/api/v0/"+c.command+"?"+c.query, body)
	if err != nil {
		return a, err
	}
	for name, values := range c.header {
		r.Header[name] = values
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		return a, err
	}
	a = rpcAnswer{status: res.StatusCode, header: map[string]string{}, trailer: res.Trailer.Get("X-Stream-Error"), body: string(all)}
	for _, name := range comparedHeaders {
		if v := res.Header.Get(name); v != "" {
			a.header[name] = v
		}
	}
	if a.header["Content-Type"] == "application/x-tar" {
		if a.body, err = tarEntries(all); err != nil {
			return a, err
		}
	}
	if strings.HasPrefix(a.header["Content-Type"], "application/json") {
		a.header["Content-Type"] = "application/json"
		lines := []any{}
		for dec := json.NewDecoder(bytes.NewReader(all)); dec.More(); {
			var v any
			if err := dec.Decode(&v); err != nil {
				return a, fmt.Errorf("%w in %.200q", err, all)
			}
			lines = append(lines, v)
		}
		a.body = lines
	}
	return a, nil
}

// tarEntries lists what a TAR archive has, without the times of what has none: those are of the
// moment at which the archive is made.
func tarEntries(b []byte) (list []string, err error) {
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		list = append(list, fmt.Sprintf("%q %c %o %q %d %s %x", h.Name, h.Typeflag, h.Mode, h.Linkname, h.Size, h.Format, sha256.Sum256(content)))
	}
}

// object is the only one of an answer; nil if there is none.
func (a *rpcAnswer) object() map[string]any {
	if lines, ok := a.body.([]any); ok && len(lines) == 1 {
		o, _ := lines[0].(map[string]any)
		return o
	}
	return nil
}

// differences are the ways in which answers may differ, by the keys of docs/rpc.md. Each makes
// the two answers the same, in so far as they differ in this way. ok is false if they do not.
var differences = map[string]func(kubo, ours *rpcAnswer) (ok bool){
	"status": func(kubo, ours *rpcAnswer) bool {
		k, o := kubo.object(), ours.object()
		if kubo.status != http.StatusInternalServerError || ours.status < 400 || ours.status >= 500 || o == nil || o["Type"] != "error" {
			return false
		}
		kubo.status = ours.status
		if k != nil {
			k["Code"] = o["Code"]
		}
		return true
	},
	"error-object": func(kubo, ours *rpcAnswer) bool {
		text, isText := kubo.body.(string)
		o := ours.object()
		if kubo.status < 400 || !isText || o == nil || o["Type"] != "error" {
			return false
		}
		kubo.body = []any{map[string]any{"Message": strings.TrimSpace(text), "Code": o["Code"], "Type": "error"}}
		kubo.header["Content-Type"] = "application/json"
		return true
	},
	"message":           sameButMessage,
	"unknown-parameter": refusedHere("is not supported by"),
	"value":             refusedHere("is supported as"),
	"arguments":         refusedHere("arguments at most"),
	"names":             refusedHere("names are not resolved"),
	"indirect-by-name":  refusedHere("what is pinned indirectly is listed only if arguments name it"),
	"unpinned":          refusedHere("an account keeps what it has pinned, and nothing else"),
	"timeout":           refusedHere(`parameter "timeout"`),
	"refs-error": func(kubo, ours *rpcAnswer) bool {
		k, o := kubo.object(), ours.object()
		if k == nil || o == nil || o["Type"] != "error" || kubo.status != http.StatusOK || k["Err"] != o["Message"] {
			return false
		}
		*kubo = *ours
		return true
	},
	"unsupported": func(kubo, ours *rpcAnswer) bool {
		if o := ours.object(); ours.status != http.StatusNotFound || kubo.status == http.StatusNotFound || o == nil ||
			!strings.Contains(fmt.Sprint(o["Message"]), "there is no such command here") {
			return false
		}
		*kubo = *ours
		return true
	},
	"own-values": func(kubo, ours *rpcAnswer) bool {
		if reflect.DeepEqual(kubo.body, ours.body) || kubo.status != ours.status {
			return false
		}
		kubo.body, ours.body = shape(kubo.body), shape(ours.body)
		return true
	},
	"commands": func(kubo, ours *rpcAnswer) bool {
		have := map[string]bool{}
		namesBelow("", kubo.object(), have)
		here := map[string]bool{}
		namesBelow("", ours.object(), here)
		for name := range here {
			if !have[name] {
				return false
			}
		}
		if len(here) == 0 || len(here) >= len(have) {
			return false
		}
		kubo.body, ours.body = nil, nil
		return true
	},
	"no-indirect": func(kubo, ours *rpcAnswer) bool {
		k := kubo.object()
		keys, _ := k["Keys"].(map[string]any)
		some := false
		for cid, pin := range keys {
			if p, _ := pin.(map[string]any); p["Type"] == "indirect" {
				delete(keys, cid)
				some = true
			}
		}
		return some
	},
	"undecodable": func(kubo, ours *rpcAnswer) bool {
		if o := ours.object(); kubo.status != http.StatusOK || ours.status != http.StatusBadRequest || o == nil || o["Type"] != "error" {
			return false
		}
		*kubo = *ours
		return true
	},
	"order": func(kubo, ours *rpcAnswer) bool {
		k, o := kubo.body.([]any), ours.body.([]any)
		if reflect.DeepEqual(k, o) || len(k) == 0 || len(k) != len(o) || !reflect.DeepEqual(k[len(k)-1], o[len(o)-1]) {
			return false
		}
		for _, lines := range [][]any{k, o} {
			slices.SortFunc(lines, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
		return true
	},
	"name-stays": func(kubo, ours *rpcAnswer) bool {
		have, _ := kubo.object()["Keys"].(map[string]any)
		here, _ := ours.object()["Keys"].(map[string]any)
		some := false
		for cid, pin := range have {
			k, _ := pin.(map[string]any)
			if o, ok := here[cid].(map[string]any); ok && k["Name"] == "" && o["Name"] != "" {
				k["Name"], some = o["Name"], true
			}
		}
		return some
	},
	"origins": func(kubo, ours *rpcAnswer) bool {
		if kubo.header["Access-Control-Allow-Origin"] == ours.header["Access-Control-Allow-Origin"] && kubo.status == ours.status {
			return false
		}
		*kubo = *ours
		return true
	},
}

// sameButMessage is that both are errors, with other words.
func sameButMessage(kubo, ours *rpcAnswer) bool {
	k, o := kubo.object(), ours.object()
	if k == nil || o == nil || k["Type"] != "error" || o["Type"] != "error" || k["Message"] == o["Message"] {
		return false
	}
	k["Message"], k["Code"] = o["Message"], o["Code"]
	return true
}

// firstDifference says where two values of JSON differ.
func firstDifference(at string, a, b any) string {
	if am, ok := a.(map[string]any); ok {
		if bm, ok := b.(map[string]any); ok {
			for _, name := range slices.Sorted(maps.Keys(am)) {
				if !reflect.DeepEqual(am[name], bm[name]) {
					return firstDifference(at+"/"+name, am[name], bm[name])
				}
			}
			for name := range bm {
				if _, ok := am[name]; !ok {
					return at + "/" + name
				}
			}
		}
	}
	if al, ok := a.([]any); ok {
		if bl, ok := b.([]any); ok && len(al) == len(bl) {
			for i := range al {
				if !reflect.DeepEqual(al[i], bl[i]) {
					return firstDifference(fmt.Sprintf("%s/%d", at, i), al[i], bl[i])
				}
			}
		}
	}
	return fmt.Sprintf("%s: %.200v and %.200v", at, a, b)
}

// refusedHere is that Holdfast refuses what Kubo does, and says why.
func refusedHere(why string) func(kubo, ours *rpcAnswer) bool {
	return func(kubo, ours *rpcAnswer) bool {
		o := ours.object()
		if ours.status != http.StatusBadRequest || o == nil || o["Type"] != "error" || !strings.Contains(fmt.Sprint(o["Message"]), why) ||
			reflect.DeepEqual(*kubo, *ours) {
			return false
		}
		*kubo = *ours
		return true
	}
}

// shape replaces values by their types. Lists are as their first element.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, value := range v {
			out[name] = shape(value)
		}
		return out
	case []any:
		if len(v) == 0 {
			return []any{}
		}
		return []any{shape(v[0])}
	}
	return fmt.Sprintf("%T", v)
}

// namesBelow collects the names of commands.
func namesBelow(above string, o map[string]any, into map[string]bool) {
	subs, _ := o["Subcommands"].([]any)
	for _, sub := range subs {
		s, _ := sub.(map[string]any)
		name := above + fmt.Sprint(s["Name"])
		into[name] = true
		namesBelow(name+"/", s, into)
	}
}

var documentedDifference = regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|")

// TestRPCTable makes the same calls to a Kubo and to Holdfast, and compares the answers field by
// field. They differ only as the table in docs/rpc.md says, in calls that say so here.
func TestRPCTable(t *testing.T) {
	t.Parallel()
	kubo := startKubo(t, "table")
	d := allowPrivate(newData(t))
	s := serve(t, d)
	c := login(t, s)
	connect(t, kubo, s)
	ctx := within(t, 240*patience)
	at := content(t, ctx, kubo, c)
	_, table, _ := strings.Cut(string(must(os.ReadFile("../docs/rpc.md"))(t)), "| Key |")
	table, _, _ = strings.Cut(table, "\n\n")
	used := map[string]bool{}
	admin := must(adminToken(ctx, d))(t)
	car := unknownCAR(t, ctx)
	for _, call := range append(rpcCalls(at), uploadCalls(car, car[:len(car)-10])...) {
		name := call.method + " " + call.command + "?" + call.query
		want, err := askRPC(ctx, kuboBase(t, ctx, kubo), "", call)
		check(t, err)
		token := c.Token
		if call.command == "swarm/peers" {
			token = admin
		}
		got, err := askRPC(ctx, s.HTTP, token, call)
		check(t, err)
		kuboSaid, oursSaid := fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got)
		for _, key := range strings.Fields(call.differs) {
			used[key] = true
			if !differences[key](&want, &got) {
				t.Errorf("%s does not differ in %q:\nKubo     %.600s\nHoldfast %.600s", name, key, kuboSaid, oursSaid)
			}
		}
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s differs in more than %q, first in %s:\nKubo     %.600s\nHoldfast %.600s", name, call.differs,
				firstDifference("", want.body, got.body), kuboSaid, oursSaid)
		}
	}
	var documented []string
	for _, m := range documentedDifference.FindAllStringSubmatch(table, -1) {
		documented = append(documented, m[1])
	}
	for key := range differences {
		if !used[key] || !slices.Contains(documented, key) {
			t.Errorf("the difference %q is used by a call: %v; it is documented: %v", key, used[key], slices.Contains(documented, key))
		}
	}
	for _, key := range documented {
		if differences[key] == nil {
			t.Errorf("the difference %q is documented, and nothing tests it", key)
		}
	}
}

// unknownCAR is a CAR of what neither server has.
func unknownCAR(t *testing.T, ctx context.Context) string {
	t.Helper()
	tree := t.TempDir()
	check(t, rig.WriteTree(tree, 954, 2, 3))
	source := sharedSource(t)
	r := must(source.Export(ctx, must(source.AddTree(ctx, tree))(t)))(t)
	defer r.Close()
	return string(must(io.ReadAll(r))(t))
}

func kuboBase(t *testing.T, ctx context.Context, k *rig.Kubo) string {
	t.Helper()
	part := strings.Split(strings.TrimSpace(string(must(os.ReadFile(filepath.Join(k.Repo, "api")))(t))), "/")
	return "http://" + part[2] + ":" + part[4]
}

// adminToken makes an admin with a token of the scope admin.
func adminToken(ctx context.Context, d *rig.Data) (string, error) {
	if _, err := d.Run(ctx, strings.NewReader(password), "user", "add", "urchin@example.org", "--password-stdin", "--admin"); err != nil {
		return "", err
	}
	out, err := d.Run(ctx, nil, "token", "create", "urchin@example.org", "--name", "table", "--scope", "admin")
	return strings.TrimSpace(out), err
}

// tableContent is what both servers have pinned.
type tableContent struct {
	root, file, leaf, old, cbor, nobody string
}

const emptyDirectory = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"

// content pins some things in both.
func content(t *testing.T, ctx context.Context, kubo *rig.Kubo, c *rig.Client) tableContent {
	t.Helper()
	tree := t.TempDir()
	check(t, rig.WriteTree(tree, 950, 3, 5))
	check(t, os.Symlink("../elsewhere", filepath.Join(tree, "link")))
	check(t, os.WriteFile(filepath.Join(tree, "large ü"), rig.RandomBytes(951, 300_000), 0o644))
	old := t.TempDir()
	check(t, rig.WriteTree(old, 952, 0, 3))
	add := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(must(kubo.Run(ctx, nil, append([]string{"add", "-r", "-Q"}, args...)...))(t))
	}
	at := tableContent{
		root: add("--cid-version=1", "--chunker=size-1000", tree), old: add(old), nobody: nobodyHas(953),
		cbor: must(kubo.PutDAG(ctx, "dag-cbor", `{"a":{"b":[1,"two",{"/":{"bytes":"AQID"}}]},"n":null}`))(t),
	}
	check(t, kubo.Pin(ctx, at.cbor))
	var links struct {
		Objects []struct{ Links []struct{ Hash string } }
	}
	check(t, kubo.RPC(ctx, "ls", url.Values{"arg": {at.root + "/large ü"}}, &links))
	at.leaf = links.Objects[0].Links[0].Hash
	must(kubo.Run(ctx, nil, "pin", "rm", emptyDirectory))(t) // which every Kubo has pinned
	for _, root := range []string{at.old, at.cbor, at.root} {
		pinned(t, c, rig.Pin{CID: root, Origins: kubo.Addrs}, 60*patience)
	}
	at.file = at.root + "/large ü"
	return at
}
