package daemon

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/logtest"
)

// No page of another origin may read the dashboard, although every origin may read the API: a
// browser sends the session with what another page of the same host asks for.
func TestDashboardHasNoCORS(t *testing.T) {
	a := testAPI(t, new(logtest.Lines), slog.LevelInfo)
	for _, path := range []string{"/", "/ui", "/ui/pins", "/ui/signin", "/ui/nothing", "/ui/static/style.css"} {
		for _, method := range []string{http.MethodGet, http.MethodOptions, http.MethodPost} {
			r := httptest.NewRequest(method, path, nil)
			r.Header.Set("Origin", "https://app.example.com")
			r.Header.Set("Access-Control-Request-Method", http.MethodPost)
			for name := range a.serve(t, r).Header() {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s %s answers with %s", method, path, name)
				}
			}
		}
	}
}

// The cookie of the dashboard is nothing to the APIs, which every origin may call.
func TestCookieIsNoToken(t *testing.T) {
	a := testAPI(t, new(logtest.Lines), slog.LevelInfo)
	if _, err := a.auth.AddAccount(t.Context(), auth.NewAccount{Email: "anna@example.org", Password: "correct horse battery", Admin: true}); err != nil {
		t.Fatal(err)
	}
	pair, err := a.auth.Login(t.Context(), "anna@example.org", "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/psa/pins", "/api/auth/me", "/api/admin/accounts", "/ui/pins"} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.AddCookie(&http.Cookie{Name: "holdfast-session", Value: pair.Access})
		want := http.StatusUnauthorized
		if path == "/ui/pins" {
			want = http.StatusOK
		}
		if w := a.serve(t, r); w.Code != want {
			t.Errorf("GET %s with the cookie answers %d", path, w.Code)
		}
	}
}

// The first start logs a link, by which the first account is made. A page that is open does not
// keep the server from stopping.
func TestSetupLinkAndStop(t *testing.T) {
	p, lines := runProgram(t)
	link := regexp.MustCompile(`link="?(http://[^ "]+)"? `).FindStringSubmatch(lines.String())
	if link == nil || !strings.HasPrefix(link[1], p.URL()+"/ui/setup?code=") {
		t.Fatalf("the log has no link:\n%s", lines)
	}
	status, page := get(t, link[1])
	if status != http.StatusOK || !strings.Contains(page, "Set up this server") {
		t.Fatalf("the link answers %d %s", status, page)
	}
	code := link[1][strings.Index(link[1], "code=")+len("code="):]
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.PostForm(p.URL()+"/ui/setup", url.Values{
		"code": {code}, "email": {"anna@example.org"}, "password": {"correct horse battery"}, "again": {"correct horse battery"},
	})
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusSeeOther || len(res.Cookies()) == 0 {
		t.Fatalf("the form answers %d", res.StatusCode)
	}
	if status, _ := get(t, link[1]); status != http.StatusGone {
		t.Errorf("the link answers %d for the second time", status)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /ui/pins/live HTTP/1.1\r\nHost: %s\r\nCookie: %s=%s\r\n\r\n", p.listener.Addr(), res.Cookies()[0].Name, res.Cookies()[0].Value)
	answer := bufio.NewReader(conn)
	if line, err := answer.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("the stream answers %q, %v", line, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(lines.String(), "did not end in time") {
		t.Errorf("an open page held up the stop:\n%s", lines)
	}
}

// The page of a pin links to the gateway where people can look at it.
func TestDashboardLinksToTheGateway(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		hosts, paths []string
		deserialized bool
		want         string
	}{
		{nil, nil, true, ""},
		{[]string{"dweb.example.com"}, nil, false, ""},
		{[]string{"dweb.example.com"}, []string{"127.0.0.1"}, true, "https://dweb.example.com"},
		{[]string{"localhost"}, nil, true, "http://localhost:" + port},
		{nil, []string{"127.0.0.1"}, true, "http://127.0.0.1:" + port},
		{nil, []string{"::1"}, true, "http://[::1]:" + port},
	} {
		p := &Program{Config: testConfig(), gateway: &gatewayServer{listener: l}}
		p.Config.Gateway.Hosts, p.Config.Gateway.PathHosts, p.Config.Gateway.Deserialized = tt.hosts, tt.paths, tt.deserialized
		if got := p.gatewayForPeople(); got != tt.want {
			t.Errorf("%+v gives %q", tt, got)
		}
	}
	if got := (&Program{Config: testConfig()}).gatewayForPeople(); got != "" {
		t.Errorf("without a gateway it is %q", got)
	}
}
