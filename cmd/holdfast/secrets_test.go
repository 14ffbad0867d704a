package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/daemon"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
)

// watched is all output of a run, and every secret that it used.
type watched struct {
	t       *testing.T
	data    string
	base    string
	said    map[string]string // what was said, by where
	secrets map[string]string // by what they are
}

func (w *watched) secret(what, s string) string {
	w.t.Helper()
	if len(s) < 8 {
		w.t.Fatalf("%s is %q, which is no secret", what, s)
	}
	w.secrets[what] = s
	return s
}

func (w *watched) hear(where, text string) {
	w.said[fmt.Sprintf("%03d %s", len(w.said), where)] = text
}

// run runs a command, and gives its standard output. The output is searched for secrets,
// unless the command is there to print one.
func (w *watched) run(wanted bool, stdin string, args ...string) string {
	w.t.Helper()
	cmd := holdfastCmd(w.t, w.data, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run() // some are to fail
	w.hear("arguments", strings.Join(cmd.Args, " "))
	w.hear("stderr of "+strings.Join(args, " "), errs.String())
	if !wanted {
		w.hear("stdout of "+strings.Join(args, " "), out.String())
	} else if err != nil {
		w.t.Fatalf("%s: %v\n%s", args, err, &errs)
	}
	return strings.TrimSpace(out.String())
}

// ask makes a request, and gives the answer. The answer is searched for secrets, unless the
// request asks for one.
func (w *watched) ask(wanted bool, method, path, token string, body any) map[string]any {
	w.t.Helper()
	var in io.Reader
	media := "application/json"
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	case url.Values:
		in, media = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	default:
		text, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path, in)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", media)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	w.hear("headers of "+method+" "+path, fmt.Sprint(answer.Header))
	if wanted && answer.StatusCode >= 300 {
		w.t.Fatalf("%s %s answers %s: %s", method, path, answer.Status, text)
	}
	if !wanted {
		w.hear("answer of "+method+" "+path, string(text))
	}
	var out map[string]any
	_ = json.Unmarshal(text, &out) // some are no JSON
	return out
}

// pair takes the tokens of a session out of an answer.
func (w *watched) pair(what string, answer map[string]any) (access, refresh string) {
	w.t.Helper()
	access, _ = answer["access_token"].(string)
	refresh, _ = answer["refresh_token"].(string)
	return w.secret(what+"'s access token", access), w.secret(what+"'s refresh token", refresh)
}

// keys takes the secrets out of the files of the data directory.
func (w *watched) keys() {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.data, datadir.TokenKeysFile))
	if err != nil {
		w.t.Fatal(err)
	}
	var file any
	if err := json.Unmarshal(b, &file); err != nil {
		w.t.Fatal(err)
	}
	before := len(w.secrets)
	var walk func(name string, v any)
	walk = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, inner := range v {
				walk(k, inner)
			}
		case []any:
			for _, inner := range v {
				walk(name, inner)
			}
		case string:
			if strings.Contains(strings.ToLower(name), "secret") {
				w.secret(fmt.Sprintf("token key %d", len(w.secrets)), v)
			}
		}
	}
	walk("", file)
	if len(w.secrets) == before {
		w.t.Fatalf("no key was found in %s", datadir.TokenKeysFile)
	}
	node, err := os.ReadFile(filepath.Join(w.data, datadir.NodeKeyFile))
	if err != nil {
		w.t.Fatal(err)
	}
	w.secret("node key", string(bytes.TrimSpace(node)))
}

// spellings are encodings in which a secret could be in a text.
func spellings(s string) []string {
	all := []string{
		s, url.QueryEscape(s), url.PathEscape(s), hex.EncodeToString([]byte(s)),
		base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)),
		strings.Trim(fmt.Sprintf("%q", s), `"`),
	}
	if parts := strings.Split(s, "."); len(parts) == 3 && strings.HasPrefix(s, "eyJ") {
		all = append(all, parts[2], parts[1]) // of a JWT: the signature, and the claims
	}
	if raw, err := base64.StdEncoding.DecodeString(s); err == nil {
		all = append(all, hex.EncodeToString(raw), fmt.Sprint(raw), base64.RawURLEncoding.EncodeToString(raw))
	}
	return all
}

// No password, token or key of a run is in its logs, lists, errors or process arguments.
func TestSecretsAreNotTold(t *testing.T) {
	const admin, user, guest = "admin@example.org", "user@example.org", "guest@example.org"
	s := startServer(t, "HOLDFAST_LOG_LEVEL=debug", "HOLDFAST_AUTH_REGISTRATION=invite")
	w := &watched{t: t, data: s.data, base: s.base(t), said: map[string]string{}, secrets: map[string]string{}}
	w.keys()

	// Accounts and tokens, from the command line.
	adminPassword := w.secret("the admin's password", "Xq7 admin/horse+battery")
	userPassword := w.secret("the user's password", "Xq7 user%horse&battery")
	newPassword := w.secret("the user's new password", "Xq7 newer \"horse\" battery")
	wrongPassword := w.secret("a wrong password", "Xq7 wrong horse battery")
	w.run(false, adminPassword+"\n", "user", "add", admin, "--password-stdin", "--admin")
	w.run(false, userPassword+"\n", "user", "add", user, "--password-stdin")
	w.run(false, userPassword+"\n", "user", "add", user, "--password-stdin") // there is one
	w.run(false, "Xq7short\n", "user", "add", "x@example.org", "--password-stdin")
	device := w.secret("a device token", w.run(true, "", "token", "create", user, "--name", "kubo"))
	invite := w.secret("an invitation", w.run(true, "", "user", "invite", "--quota", "1GiB"))
	unused := w.secret("an invitation that nobody used", w.run(true, "", "user", "invite"))

	// Sessions, over HTTP.
	w.ask(false, "POST", authhttp.LoginPath, "", map[string]string{"email": user, "password": wrongPassword})
	w.ask(false, "POST", authhttp.LoginPath, "", map[string]string{"email": "nobody@example.org", "password": wrongPassword})
	w.ask(false, "POST", authhttp.LoginPath, "", `{"email":"`+user+`","password":"`+wrongPassword) // cut short
	w.ask(false, "POST", authhttp.LoginPath+"?password="+url.QueryEscape(wrongPassword), "", url.Values{"email": {user}})
	boss, bossRefresh := w.pair("the admin", w.ask(true, "POST", authhttp.LoginPath, "", map[string]string{"email": admin, "password": adminPassword}))
	mine, refresh := w.pair("the user", w.ask(true, "POST", authhttp.LoginPath, "", url.Values{"email": {user}, "password": {userPassword}}))
	w.pair("the renewed session", w.ask(true, "POST", authhttp.RefreshPath, "", map[string]string{"refresh_token": refresh}))
	w.ask(false, "POST", authhttp.RefreshPath, "", map[string]string{"refresh_token": mine})
	w.pair("the guest", w.ask(true, "POST", authhttp.RegisterPath, "", map[string]string{"email": guest, "password": userPassword, "invite": invite}))
	w.ask(false, "POST", authhttp.RegisterPath, "", map[string]string{"email": guest, "password": userPassword, "invite": invite})
	made := w.ask(true, "POST", authhttp.TokensPath, mine, map[string]any{"name": "laptop", "scope": "read"})
	laptop, _ := made["token"].(string)
	w.secret("another device token", laptop)

	// Everything that lists, and everything that is refused.
	for _, token := range []string{boss, mine, device, laptop, laptop + "x", bossRefresh, "", unused} {
		for _, path := range []string{
			authhttp.MePath, authhttp.TokensPath, "/api/admin/accounts", "/api/admin/invites", "/api/admin/audit",
			daemon.PSAPath + "/pins", daemon.PSAPath + "/pins/x", "/healthz", "/nothing",
		} {
			w.ask(false, "GET", path, token, nil)
		}
		w.ask(false, "POST", daemon.PSAPath+"/pins", token, map[string]string{"cid": "no"})
	}
	w.ask(false, "POST", authhttp.PasswordPath, mine, map[string]string{"password": wrongPassword, "new_password": newPassword})
	w.ask(false, "POST", authhttp.PasswordPath, mine, map[string]any{"password": userPassword, "new_password": newPassword})
	for _, args := range [][]string{
		{"user", "ls"}, {"user", "ls", "--json"}, {"user", "invites"}, {"user", "invites", "--json"},
		{"token", "ls", user}, {"token", "ls", admin, "--json"}, {"audit", "--limit", "0"}, {"audit", "--json"},
		{"pin", "ls", "--user", user}, {"keys", "rotate"}, {"keys", "rotate", "--json"}, {"version"},
		{"token", "create", user, "--name", ""}, {"user", "passwd", "nobody@example.org"},
	} {
		w.run(false, "", args...)
	}
	w.run(false, newPassword+"\n", "user", "passwd", user, "--password-stdin", "--revoke-tokens")
	w.run(false, "", "user", "rm", guest)
	w.keys()

	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	w.hear("arguments of the server", string(cmdline))
	s.signal(t, syscall.SIGTERM)
	if err := s.Wait(); err != nil {
		t.Errorf("serve: %v", err)
	}
	w.run(false, "", "audit", "--json") // without a server
	w.hear("log", s.log.String())
	if !strings.Contains(s.log.String(), "msg=request") {
		t.Error("the log is not that of debugging")
	}
	for what, secret := range w.secrets {
		for _, spelled := range spellings(secret) {
			for where, text := range w.said {
				if strings.Contains(text, spelled) {
					t.Errorf("%s is in %s:\n%.2000s", what, where, text)
				}
			}
		}
	}
	if len(w.secrets) < 15 || len(w.said) < 100 {
		t.Errorf("only %d secrets were looked for in %d places", len(w.secrets), len(w.said))
	}
}
