package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// adminRig is a dashboard beside the operator's API, over a store and a server of the test.
type adminRig struct {
	*rig
	store  *someStore
	server *someServer
}

// someStore has what a test says.
type someStore struct {
	admin.Store
	stats  admin.StoreStats
	finish chan struct{} // ends a check
}

func (s *someStore) Stats(context.Context) (admin.StoreStats, error) { return s.stats, nil }

func (s *someStore) Accounts(context.Context, pin.Status) ([]string, error) { return nil, nil }

func (s *someStore) Reclaim(context.Context, func(admin.StoreProgress)) (admin.Reclaimed, error) {
	return admin.Reclaimed{Blocks: 12, Bytes: 1 << 20, Before: 5 << 20, After: 2 << 20}, nil
}

func (s *someStore) Verify(ctx context.Context, _ bool, watch admin.VerifyWatch) (admin.VerifyReport, error) {
	watch.Progress(admin.StoreProgress{Text: "half of it", Done: 1, Total: 2})
	err := watch.Damage(admin.Damage{CID: someCID, Kind: "corrupt", DAGs: []admin.HurtDAG{{
		CID: someCID, Pins: []admin.HurtPin{{RequestID: "1", Name: "<b>thesis</b>", User: ben}}, More: 2,
	}}})
	if err != nil {
		return admin.VerifyReport{}, err
	}
	select {
	case <-s.finish:
		return admin.VerifyReport{Blocks: 9, Corrupt: 1}, nil
	case <-ctx.Done():
		return admin.VerifyReport{}, ctx.Err()
	}
}

// someServer is in a condition that a test says.
type someServer struct {
	admin.Self
	is  admin.Condition
	err error
}

func (s *someServer) Condition(context.Context) (admin.Condition, error) { return s.is, s.err }

func newAdminRig(t *testing.T) *adminRig {
	t.Helper()
	api := echo.New()
	a := &adminRig{
		rig:    newRig(t, func(c *Config) { c.API = api }),
		store:  &someStore{finish: make(chan struct{})},
		server: &someServer{},
	}
	runs := admin.NewRuns()
	t.Cleanup(runs.Close)
	history := new(admin.History)
	history.Add(admin.Sample{Time: time.Now(), Pinned: 42})
	(&admin.Server{
		Auth: a.auth, Pins: a.pins, Store: a.store, Runs: runs, History: history, Self: a.server, Running: true, Log: slog.New(slog.DiscardHandler),
	}).Register(api)
	return a
}

// Pages of admins are for admins, with a session or a token of the scope admin.
func TestAdminsPagesAreForAdmins(t *testing.T) {
	r := newAdminRig(t)
	_, read, err := r.auth.AddDevice(t.Context(), r.ids[anna], auth.NewDevice{Name: "looker", Scope: auth.ScopeRead})
	if err != nil {
		t.Fatal(err)
	}
	user, stranger, looker := r.as(ben), r.browser(), r.withToken(read)
	for _, p := range adminRoutes {
		if p.open {
			continue
		}
		path := Base + strings.NewReplacer(":id", r.ids[ben], ":what", "disable").Replace(p.path)
		for who, b := range map[string]*browser{"a user": user, "an admin's token that may read": looker} {
			if a := b.do(p.method, path, url.Values{}); a.status != http.StatusForbidden {
				t.Errorf("%s %s answers %s %d", p.method, path, who, a.status)
			}
		}
		if a := stranger.do(p.method, path, url.Values{}); a.status != http.StatusSeeOther || !strings.HasPrefix(a.to(), signInPath) {
			t.Errorf("%s %s answers a stranger %d, to %s", p.method, path, a.status, a.to())
		}
	}
	if a := user.get("/ui/pins"); strings.Contains(a.body, accountsPath) {
		t.Error("a user's menu has pages of admins")
	}
	if all, err := r.auth.ListAccounts(t.Context()); err != nil || len(all) != 2 || all[0].Disabled || all[1].Disabled {
		t.Errorf("the accounts are %+v, %v", all, err)
	}
}

func TestAccountsPages(t *testing.T) {
	r := newAdminRig(t)
	b := r.as(anna)
	b.get(accountsPath).must(t, http.StatusOK, "2 accounts", anna, ben)

	// Mistakes keep what was typed, and change nothing.
	b.post(accountsPath, url.Values{"email": {"new@example.org"}, "password": {password}, "quota": {"much"}}).
		must(t, http.StatusBadRequest, "10 GiB", "new@example.org", `value="much"`)
	b.post(accountsPath, url.Values{"email": {ben}, "password": {password}}).must(t, http.StatusConflict, "exists")
	if a := b.post(accountsPath, url.Values{"email": {"new@example.org"}, "password": {password}, "quota": {"10 GiB"}, "pins": {"1,000"}}); a.to() != accountsPath {
		t.Fatalf("it answers %d: %s", a.status, a.body)
	}
	b.get(accountsPath).must(t, http.StatusOK, "The account is made", "3 accounts", "new@example.org", "10 GiB", "1,000")
	made, err := r.auth.AccountByEmail(t.Context(), "new@example.org")
	if err != nil || made.Quota != 10<<30 || made.QuotaPins != 1000 || made.Admin {
		t.Fatalf("it is %+v, %v", made, err)
	}

	one := accountsPath + "/" + made.ID
	b.get(one).must(t, http.StatusOK, `value="10 GiB"`, `value="1000"`, "Disable it")
	b.post(one+"/quota", url.Values{"quota": {""}, "pins": {"7"}})
	b.post(one+"/disable", nil)
	b.post(one+"/make-admin", nil)
	b.get(one).must(t, http.StatusOK, "disabled", "admin", `value="7"`)
	b.post(one+"/enable", nil)
	b.post(one+"/make-user", nil)
	b.post(one+"/quota", url.Values{"quota": {"-3"}}).must(t, http.StatusBadRequest, `value="-3"`)
	// Nobody who types 0 means no limit.
	for field, zero := range map[string]string{"quota": "0 GiB", "pins": "0"} {
		b.post(one+"/quota", url.Values{field: {zero}}).must(t, http.StatusBadRequest, "above 0", `value="`+zero+`"`)
	}
	b.post(one+"/paint", nil).must(t, http.StatusNotFound)
	b.post(one+"/password", url.Values{"password": {"staple correct horse"}, "again": {"another one at all"}, "own_password": {password}}).must(t, http.StatusBadRequest, "two different ways")
	b.post(one+"/password", url.Values{"password": {"staple correct horse"}, "again": {"staple correct horse"}, "own_password": {"wrong"}}).must(t, http.StatusBadRequest)
	b.post(one+"/password", url.Values{"password": {"staple correct horse"}, "again": {"staple correct horse"}, "own_password": {password}})
	if _, err := r.auth.Login(t.Context(), made.Email, "staple correct horse"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	if a, err := r.auth.AccountByID(t.Context(), made.ID); err != nil || a.Quota != 0 || a.QuotaPins != 7 || a.Disabled || a.Admin {
		t.Errorf("it is %+v, %v", a, err)
	}

	b.get(one+"/remove").must(t, http.StatusOK, "Remove new@example.org?")
	b.get(one+"/remove", "HX-Request", "true").must(t, http.StatusOK, "Remove new@example.org?")
	b.post(one+"/remove", url.Values{}).must(t, http.StatusBadRequest)
	if a := b.post(one+"/remove", url.Values{"pins": {"keep"}}); a.to() != accountsPath {
		t.Errorf("it answers %d: %s", a.status, a.body)
	}
	if _, err := r.auth.AccountByID(t.Context(), made.ID); !errors.Is(err, auth.ErrNoAccount) {
		t.Errorf("the account is there: %v", err)
	}
	own := accountsPath + "/" + r.ids[anna]
	b.get(own).must(t, http.StatusOK, "your own account")
	b.post(own+"/disable", nil).must(t, http.StatusBadRequest, "your own account")
	b.get(accountsPath+"/nobody").must(t, http.StatusNotFound)
}

// An invitation is shown once, and its link makes an account.
func TestInvitation(t *testing.T) {
	r := newAdminRig(t)
	b := r.as(anna)
	made := b.post(accountsPath+"/invite", url.Values{"quota": {"5 GiB"}}).must(t, http.StatusOK, "shown this once")
	link := regexp.MustCompile(`/ui/join\?code=[^<"&]+`).FindString(made.body)
	if link == "" {
		t.Fatalf("there is no link: %s", made.body)
	}
	open := b.get(accountsPath).must(t, http.StatusOK, "Not used yet", "5.0 GiB", "auth.registration")
	guest := r.browser()
	guest.get(link).must(t, http.StatusOK, "Make your account")
	id := regexp.MustCompile(`/ui/accounts/invites/[^/]+/revoke`).FindString(open.body)
	if a := b.post(id, nil); a.to() != accountsPath {
		t.Errorf("to revoke it answers %d: %s", a.status, a.body)
	}
	code, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	guest.post(joinPath, url.Values{"code": {code.Query().Get("code")}, "email": {"guest@example.org"}, "password": {password}, "again": {password}}).
		must(t, http.StatusForbidden, "guest@example.org")
}

func TestAuditPage(t *testing.T) {
	r := newAdminRig(t)
	b := r.as(anna)
	r.browser().post("/ui/signin", url.Values{"email": {ben}, "password": {"wrong"}})
	b.get(auditPath).must(t, http.StatusOK, "login refused", "account added", anna)
	a := b.get(auditPath+"?event=login.refused").must(t, http.StatusOK, "login refused")
	if strings.Contains(a.body, "account added") {
		t.Error("the filter by kind is not heeded")
	}
	b.get(auditPath+"?account="+ben).must(t, http.StatusOK, ben)
	b.get(auditPath+"?from=2000-01-01&to=2000-01-02").must(t, http.StatusOK, "No event matches")
	b.get(auditPath+"?from=today").must(t, http.StatusBadRequest, "2026-05-31", `value="today"`)
	b.get(auditPath+"?account=nobody@example.org").must(t, http.StatusBadRequest, "no such account")
	// An account that is gone is named by its address in all of its events.
	const gone = "gone@example.org"
	b.post(accountsPath, url.Values{"email": {gone}, "password": {password}})
	one := regexp.MustCompile(`/ui/accounts/([^/"]+)">` + gone).FindStringSubmatch(b.get(accountsPath).body)
	if one == nil {
		t.Fatal("there is no account")
	}
	b.post(accountsPath+"/"+one[1]+"/disable", nil)
	b.post(accountsPath+"/"+one[1]+"/remove", url.Values{"pins": {"keep"}})
	if a := b.get(auditPath).must(t, http.StatusOK, "account disabled", "account removed", gone); strings.Contains(a.body, one[1]) {
		t.Error("an event names an account by its ID")
	}
	for range 60 {
		r.browser().post("/ui/signin", url.Values{"email": {"<i>x</i>@example.org"}, "password": {"wrong"}})
	}
	first := b.get(auditPath+"?event=login.refused").must(t, http.StatusOK, "Older")
	if strings.Contains(first.body, "<i>x") {
		t.Error("an address is markup")
	}
}

func TestStorePage(t *testing.T) {
	r := newAdminRig(t)
	c := cid.MustParse(someCID)
	r.store.stats = admin.StoreStats{
		Live: admin.Amount{Blocks: 1234, Bytes: 3 << 30}, Dead: admin.Amount{Blocks: 7, Bytes: 1 << 30}, Disk: 5 << 30, Free: 5 << 30,
		Requests: map[pin.Status]uint64{pin.Pinned: 77}, Unreadable: []cid.Cid{c}, Damaged: 1,
	}
	b := r.as(anna)
	b.get(storePath).must(t, http.StatusOK, "1,234 pinned", "Pinned", `width="30"`, `width="50"`, "1 file of the database", "77", "Nothing was begun")

	b.post(storePath+"/runs", url.Values{"kind": {"paint"}}).must(t, http.StatusBadRequest)
	if a := b.post(storePath+"/runs", url.Values{"kind": {"verify"}}); a.to() != storePath {
		t.Fatalf("it answers %d: %s", a.status, a.body)
	}
	var page answer
	for page = b.get(storePath); !strings.Contains(page.body, "half of it"); page = b.get(storePath) {
		time.Sleep(time.Millisecond)
	}
	page.must(t, http.StatusOK, `value="50"`, "running", anna)
	b.post(storePath+"/runs", url.Values{"kind": {"repair"}}).must(t, http.StatusConflict, "under way")
	close(r.store.finish)
	for page = b.get(storePath); strings.Contains(page.body, "half of it"); page = b.get(storePath) {
		time.Sleep(time.Millisecond)
	}
	page.must(t, http.StatusOK, "found damage", "1 damaged", "&lt;b&gt;thesis", ben, "2 pins more")
	b.post(storePath+"/runs", url.Values{"kind": {"reclaim"}})
	for page = b.get(storePath); !strings.Contains(page.body, "12 blocks deleted"); page = b.get(storePath) {
		time.Sleep(time.Millisecond)
	}
	page.must(t, http.StatusOK, "3.0 MiB less")
	b.post(storePath+"/runs/nobody/end", nil).must(t, http.StatusNotFound)
}

func TestServerPage(t *testing.T) {
	r := newAdminRig(t)
	b := r.as(anna)
	now := time.Now()
	r.server.is = admin.Condition{
		Version: "v1.2.3", Started: now.Add(-24 * time.Hour), Now: now, Free: 100 << 30, KeptFree: 1 << 30,
		Backup:  &admin.BackupCondition{Last: now.Add(-time.Hour)},
		Network: admin.NetworkCondition{PeerID: "12D3KooW", Addresses: []string{"/ip4/127.0.0.1/tcp/4040"}, Asked: true, Reached: []string{"/ip4/127.0.0.1/tcp/4040"}, Peers: 4},
	}
	well := r.server.is
	b.get(serverPath).must(t, http.StatusOK, "Nothing needs to be looked at", "v1.2.3", "12D3KooW", "/ip4/127.0.0.1/tcp/4040")
	r.server.is.Backup = &admin.BackupCondition{Last: now.AddDate(0, -1, 0)} // as its schedule has it
	b.get(serverPath).must(t, http.StatusOK, "Nothing needs to be looked at")
	for warns, change := range map[string]func(*admin.Condition){
		"takes no new pins: the disk is full": func(is *admin.Condition) { is.Unready = "the disk is full" },
		"The database is damaged":             func(is *admin.Condition) { is.Damage = "table 7" },
		"3 blocks could not be read":          func(is *admin.Condition) { is.UnreadableBlocks = 3 },
		"nothing new is stored":               func(is *admin.Condition) { is.Free = 1 << 30 },
		"No backups are made":                 func(is *admin.Condition) { is.Backup = nil },
		"The last backup failed":              func(is *admin.Condition) { is.Backup = &admin.BackupCondition{Failed: true} },
		"than three times backup.every":       func(is *admin.Condition) { is.Backup = &admin.BackupCondition{Last: now.Add(-time.Hour), Old: true} },
		"No backup has come to its end":       func(is *admin.Condition) { is.Backup = &admin.BackupCondition{Old: true} },
		"Other nodes do not reach this one": func(is *admin.Condition) {
			is.Network.Reached, is.Network.NotReached = nil, []string{"/ip4/1.1.1.1/tcp/1"}
		},
		"through relays alone":  func(is *admin.Condition) { is.Network.Reached, is.Network.Relayed = nil, true },
		"The node has no peers": func(is *admin.Condition) { is.Network.Reached, is.Network.Peers = nil, 0 },
		"too late": func(is *admin.Condition) {
			is.Announcing = &admin.AnnouncingCondition{Online: true, Late: 3 * time.Hour}
		},
		"no address where others": func(is *admin.Condition) { is.Announcing = &admin.AnnouncingCondition{Online: true, NoAddress: true} },
		"Nothing keeps the clock": func(is *admin.Condition) { is.ClockOff = true },
	} {
		r.server.is = well
		change(&r.server.is)
		a := b.get(serverPath).must(t, http.StatusOK, warns)
		if n := strings.Count(a.body, "<strong>"); n != 1 {
			t.Errorf("%s: there are %d warnings", warns, n)
		}
	}
	for of, want := range map[string]int{"": 200, "?of=day": 200} {
		b.get(serverPath+"/history"+of).must(t, want, `"pinned":42`)
	}
	r.server.err = errCheese
	b.get(serverPath).must(t, http.StatusInternalServerError, "went wrong")
}
