package auth_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// member is one account, and what it should have after what it did itself.
type member struct {
	auth.Account
	access  string
	pins    map[string]string // name by request id
	devices map[string]string // name by token id
	gone    bool              // disabled or removed
}

// TestIsolation lets 20 accounts call every endpoint at random, with their own ids and ids of
// others. No answer has anything of another account, and no account changes anything of another.
func TestIsolation(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := newServer(t, func(c *auth.Config) {
		c.Limits.Account.Burst, c.Limits.Refresh.Burst, c.Limits.Token.Burst, c.Limits.Changes.Burst = -1, -1, -1, -1
	})
	root, admin := s.admin()
	var members []*member
	for i := range 20 {
		a, err := s.AddAccount(t.Context(), auth.NewAccount{Email: fmt.Sprintf("member%02d@example.com", i), Password: goodPassword})
		s.ok(err)
		p, err := s.Login(t.Context(), a.Email, goodPassword)
		s.ok(err)
		members = append(members, &member{Account: a, access: p.Access, pins: map[string]string{}, devices: map[string]string{}})
	}
	live := func() *member {
		for {
			if m := members[rnd.IntN(len(members))]; !m.gone {
				return m
			}
		}
	}
	key := func(m map[string]string) string {
		if ids := slices.Sorted(maps.Keys(m)); len(ids) > 0 {
			return ids[rnd.IntN(len(ids))]
		}
		return "0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b" // nobody's
	}
	// clean checks that an answer to m has nothing of another account. All names and ids differ.
	clean := func(m *member, r response) response {
		t.Helper()
		for _, o := range members {
			if o == m {
				continue
			}
			for _, what := range []map[string]string{o.pins, o.devices} {
				for id, name := range what {
					if strings.Contains(r.body, id) || strings.Contains(r.body, name+`"`) {
						t.Fatalf("an answer to %s holds %s of %s: %s", m.Email, name, o.Email, r.body)
					}
				}
			}
			if strings.Contains(r.body, o.ID) || strings.Contains(r.body, o.Email) {
				t.Fatalf("an answer to %s holds %s: %s", m.Email, o.Email, r.body)
			}
		}
		return r
	}
	want := func(r response, status int) response {
		t.Helper()
		if r.status != status {
			t.Fatalf("%d, want %d: %s", r.status, status, r.body)
		}
		return r
	}
	n := 0
	name := func(m *member) string {
		n++
		return fmt.Sprintf("%s-thing-%d", strings.TrimSuffix(m.Email, "@example.com"), n)
	}
	// absent: an id of another account gets the same answer, word for word, as an id that does
	// not exist.
	absent := func(m *member, method, path string, body any, of map[string]string) {
		t.Helper()
		others, nobodys := clean(m, s.call(method, path+key(of), m.access, body)), s.call(method, path+key(nil), m.access, body)
		others.header.Del("Date")
		nobodys.header.Del("Date")
		if others.status != 404 || others.body != nobodys.body || fmt.Sprint(others.header) != fmt.Sprint(nobodys.header) {
			t.Fatalf("%s %s: another's is %d %s, nobody's %d %s", method, path, others.status, others.body, nobodys.status, nobodys.body)
		}
	}
	steps := map[string]func(m, other *member){
		"add": func(m, _ *member) {
			name := name(m)
			r := want(clean(m, s.call("POST", "/api/psa/pins", m.access, addPin(name))), 202)
			m.pins[r.text("requestid")] = name
		},
		"get": func(m, other *member) {
			if id := key(m.pins); m.pins[id] != "" {
				want(clean(m, s.call("GET", "/api/psa/pins/"+id, m.access, nil)), 200)
			}
			absent(m, "GET", "/api/psa/pins/", nil, other.pins)
		},
		"list": func(m, other *member) {
			r := want(clean(m, s.call("GET", "/api/psa/pins?status=queued,pinned,pinning,failed&limit=1000", m.access, nil)), 200)
			if got := r.json["count"].(float64); int(got) != len(m.pins) {
				t.Fatalf("%s counts %v, want %d", m.Email, got, len(m.pins))
			}
			theirs := other.pins[key(other.pins)]
			for _, filter := range []string{"name=" + theirs, "match=partial&name=" + strings.TrimSuffix(other.Email, "@example.com"), "cid=" + someCID} {
				r := want(clean(m, s.call("GET", "/api/psa/pins?status=queued&"+filter, m.access, nil)), 200)
				mine := 0
				if strings.HasPrefix(filter, "cid") || filter == "name=" {
					mine = len(m.pins)
				}
				if got := r.json["count"].(float64); int(got) != mine {
					t.Fatalf("%s counts %v of %s, want %d", m.Email, got, filter, mine)
				}
			}
		},
		"replace": func(m, other *member) {
			absent(m, "POST", "/api/psa/pins/", addPin("stolen"), other.pins)
			id, name := key(m.pins), name(m)
			if m.pins[id] == "" {
				return
			}
			r := want(clean(m, s.call("POST", "/api/psa/pins/"+id, m.access, addPin(name))), 202)
			delete(m.pins, id)
			m.pins[r.text("requestid")] = name
		},
		"remove": func(m, other *member) {
			absent(m, "DELETE", "/api/psa/pins/", nil, other.pins)
			if id := key(m.pins); m.pins[id] != "" && rnd.IntN(2) == 0 {
				want(clean(m, s.call("DELETE", "/api/psa/pins/"+id, m.access, nil)), 202)
				delete(m.pins, id)
			}
		},
		"me": func(m, _ *member) {
			r := want(clean(m, s.call("GET", "/api/auth/me", m.access, nil)), 200)
			if got := r.json["usage"].(map[string]any)["pins"].(float64); int(got) != len(m.pins) || !strings.Contains(r.body, m.Email) {
				t.Fatalf("%s has %d pins, and is told %s", m.Email, len(m.pins), r.body)
			}
		},
		"make a token": func(m, _ *member) {
			name := name(m)
			r := want(clean(m, s.call("POST", "/api/auth/tokens", m.access, map[string]any{"name": name})), 201)
			m.devices[r.text("id")] = name
			want(clean(m, s.call("GET", "/api/psa/pins", r.text("token"), nil)), 200)
		},
		"list tokens": func(m, _ *member) {
			r := want(clean(m, s.call("GET", "/api/auth/tokens", m.access, nil)), 200)
			if got := strings.Count(r.body, `"kind":"device"`); got != len(m.devices) {
				t.Fatalf("%s is told of %d device tokens, and has %d", m.Email, got, len(m.devices))
			}
		},
		"revoke a token": func(m, other *member) {
			absent(m, "DELETE", "/api/auth/tokens/", nil, other.devices)
			if id := key(m.devices); m.devices[id] != "" && rnd.IntN(2) == 0 {
				want(clean(m, s.call("DELETE", "/api/auth/tokens/"+id, m.access, nil)), 200)
				delete(m.devices, id)
			}
		},
		"password": func(m, _ *member) {
			want(clean(m, s.call("POST", "/api/auth/password", m.access,
				map[string]any{"password": goodPassword, "new_password": goodPassword, "revoke_tokens": rnd.IntN(4) == 0})), 200)
			p, err := s.Login(t.Context(), m.Email, goodPassword)
			s.ok(err)
			m.access = p.Access
			all, err := s.ListTokens(t.Context(), m.ID)
			s.ok(err)
			if len(all) == 1 {
				clear(m.devices)
			}
		},
		"log out": func(m, _ *member) {
			path := []string{"/api/auth/logout", "/api/auth/logout-all"}[rnd.IntN(2)]
			want(clean(m, s.call("POST", path, m.access, nil)), 200)
			want(clean(m, s.call("GET", "/api/auth/me", m.access, nil)), 401)
			r := want(s.call("POST", "/api/auth/login", "", map[string]string{"email": m.Email, "password": goodPassword},
				from(fmt.Sprintf("2001:db8:%x::1", rnd.IntN(1<<16)))), 200)
			r = want(clean(m, s.call("POST", "/api/auth/refresh", "", map[string]string{"refresh_token": r.text("refresh_token")})), 200)
			m.access = r.text("access_token")
		},
		"play the admin": func(m, other *member) {
			for _, c := range []struct{ method, path string }{
				{"GET", ""}, {"POST", ""}, {"GET", "/" + other.ID}, {"GET", "/" + root.ID}, {"DELETE", "/" + other.ID},
				{"POST", "/" + other.ID + "/disable"}, {"POST", "/" + other.ID + "/quota"},
			} {
				want(clean(m, s.call(c.method, "/api/admin/accounts"+c.path, m.access, map[string]any{"quota": 1})), 403)
			}
			for _, path := range []string{"/api/admin/audit?account=" + other.ID, "/api/admin/invites"} {
				want(clean(m, s.call("GET", path, m.access, nil)), 403)
			}
		},
		"the admin acts": func(m, _ *member) {
			if rnd.IntN(40) > 0 {
				want(s.call("POST", "/api/admin/accounts/"+m.ID+"/quota", admin, map[string]any{"quota": rnd.IntN(100)}), 200)
				return
			}
			if left := slices.DeleteFunc(slices.Clone(members), func(o *member) bool { return o.gone }); len(left) < 10 {
				return
			}
			m.gone = true
			if rnd.IntN(2) == 0 {
				want(s.call("POST", "/api/admin/accounts/"+m.ID+"/disable", admin, nil), 200)
			} else {
				want(s.call("DELETE", "/api/admin/accounts/"+m.ID, admin, nil), 200)
				clear(m.pins)
			}
			want(clean(m, s.call("GET", "/api/psa/pins", m.access, nil)), 401)
			clear(m.devices)
		},
	}
	names := slices.Sorted(maps.Keys(steps))
	for range 1200 {
		m, other := live(), members[rnd.IntN(len(members))]
		if other != m {
			steps[names[rnd.IntN(len(names))]](m, other)
		}
	}
	for _, m := range members {
		all, err := s.pins.all(t.Context(), m.ID)
		s.ok(err)
		for _, r := range all {
			if m.pins[r.ID] != r.Name {
				t.Errorf("%s has the pin %s", m.Email, r.Name)
			}
		}
		if len(all) != len(m.pins) {
			t.Errorf("%s has %d pins, want %d", m.Email, len(all), len(m.pins))
		}
	}
}
