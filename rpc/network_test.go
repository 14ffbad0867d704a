package rpc

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	ma "github.com/multiformats/go-multiaddr"
)

const someCID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"

// body is an answer of JSON without the line break at its end.
func (w *world) body(account, command, query string) string {
	w.t.Helper()
	return strings.TrimSuffix(string(w.good(account, command, query)), "\n")
}

// What repo/stat tells is the account's for users, and the server's for admins.
func TestRepoStat(t *testing.T) {
	w := newWorld(t)
	for _, one := range []struct{ who, query, want string }{
		{"alice", "", `{"RepoSize":3000,"StorageMax":18446744073709551615,"NumObjects":3,"RepoPath":"","Version":"fs-repo@18"}`},
		{"alice looks", "size-only=true&human=true", `{"RepoSize":3000,"StorageMax":18446744073709551615,"NumObjects":0,"RepoPath":"","Version":""}`},
		{"alice rules", "", `{"RepoSize":50000,"StorageMax":70000,"NumObjects":77,"RepoPath":"","Version":"fs-repo@18"}`},
		{"alice rules", "s=true", `{"RepoSize":50000,"StorageMax":70000,"NumObjects":0,"RepoPath":"","Version":""}`},
	} {
		if got := w.body(one.who, "repo/stat", one.query); got != one.want {
			t.Errorf("to %s repo/stat?%s answers %s, want %s", one.who, one.query, got, one.want)
		}
	}
	w.quota.Bytes = 9000
	if got := w.body("alice", "repo/stat", ""); !strings.Contains(got, `"StorageMax":9000,`) {
		t.Errorf("with a quota repo/stat answers %s", got)
	}
}

// Every command that there is is listed, with its parameters, in Kubo's form.
func TestCommandsAreListed(t *testing.T) {
	w := newWorld(t)
	var root listedCommand
	if err := json.Unmarshal(w.good("alice looks", "commands", "flags=true"), &root); err != nil || root.Name != "ipfs" {
		t.Fatalf("the root is %q, %v", root.Name, err)
	}
	listed := map[string]listedCommand{}
	var take func(above string, l listedCommand)
	take = func(above string, l listedCommand) {
		if l.Subcommands == nil || l.Options == nil {
			t.Errorf("%s has null in it", l.Name)
		}
		if len(l.Subcommands) == 0 {
			listed[above+l.Name] = l
		}
		for _, sub := range l.Subcommands {
			take(above+l.Name+"/", sub)
		}
	}
	for _, sub := range root.Subcommands {
		take("", sub)
	}
	if len(listed) != len(commands) {
		t.Errorf("%d commands are listed, and there are %d", len(listed), len(commands))
	}
	for _, cmd := range commands {
		l, ok := listed[cmd.name]
		if !ok || len(l.Options) != len(cmd.params) {
			t.Errorf("%s is listed as %+v", cmd.name, l)
		}
	}
}

func addr(t *testing.T, s string) ma.Multiaddr {
	t.Helper()
	a, err := ma.NewMultiaddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// somePeers makes peers that have an address each.
func somePeers(t *testing.T, n int) (all []peer.AddrInfo) {
	t.Helper()
	for i := range n {
		id, err := test.RandPeerID()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, peer.AddrInfo{ID: id, Addrs: []ma.Multiaddr{addr(t, "/ip4/127.0.0.1/tcp/"+string(rune('1'+i%9)))}})
	}
	return all
}

// Providers come as Kubo's notifications, each once, and no more than are asked for.
func TestFindProviders(t *testing.T) {
	w := newWorld(t)
	w.providers = somePeers(t, 30)
	w.providers = append(w.providers[:2:2], append(w.providers[:1:1], w.providers[2:]...)...) // the first comes again
	for query, want := range map[string]int{"": 20, "&num-providers=3&verbose=true": 3, "&n=100": 30, "&n=9223372036854775807": 30} {
		a := w.ask("alice", "routing/findprovs", "arg="+someCID+query)
		lines := bytes.Split(bytes.TrimSpace(a.body), []byte("\n"))
		if a.status != http.StatusOK || len(lines) != want || a.header.Get(headerChunked) != "1" {
			t.Errorf("with %q it answers %d, with %d lines and %v", query, a.status, len(lines), a.header)
		}
		first := w.providers[0]
		text := `{"Extra":"","ID":"","Responses":[{"ID":"` + first.ID.String() + `","Addrs":["/ip4/127.0.0.1/tcp/1"]}],"Type":4}`
		if string(lines[0]) != text {
			t.Errorf("the first line is %s, want %s", lines[0], text)
		}
	}
	w.providers = nil
	if a := w.ask("alice", "routing/findprovs", "arg=/ipfs/"+someCID); a.status != http.StatusOK || len(a.body) != 0 || a.header.Get(headerChunked) != "1" {
		t.Errorf("of nobody it answers %d %q, %v", a.status, a.body, a.header)
	}
}

func TestFindProvidersRefuses(t *testing.T) {
	w := newWorld(t)
	for query, part := range map[string]string{
		"":                              `argument "key" is required`,
		"arg=x":                         "invalid path",
		"arg=" + someCID + "&n=0":       "number of providers must be greater than 0",
		"arg=" + someCID + "/some/file": "is a path",
		"arg=" + someCID + "&n=x":       `parameter "num-providers"`,
	} {
		w.refused("alice", "routing/findprovs", query, http.StatusBadRequest, part)
	}
	w.refused("alice looks", "routing/findprovs", "arg="+someCID, http.StatusForbidden, "not for this")
	w.refused("", "routing/findprovs", "arg="+someCID, http.StatusUnauthorized, "token")
}

// An account may search so often; others have their own, and admins are not counted.
func TestSearchesAreLimited(t *testing.T) {
	w := newWorld(t)
	for range searchBurst {
		w.good("alice", "routing/findprovs", "arg="+someCID)
		w.good("alice rules", "routing/findprovs", "arg="+someCID)
	}
	w.refused("alice", "routing/findprovs", "arg="+someCID, http.StatusTooManyRequests, "the account may search")
	if a := w.ask("alice", "routing/findprovs", "arg="+someCID); a.header.Get("Retry-After") != "10" {
		t.Errorf("it is to come back after %q s", a.header.Get("Retry-After"))
	}
	w.good("bob", "routing/findprovs", "arg="+someCID)
	w.good("alice rules", "routing/findprovs", "arg="+someCID)
}

// swarm/peers has what is asked for, sorted, and nothing that controls a terminal.
func TestSwarmPeers(t *testing.T) {
	w := newWorld(t)
	if got := w.body("alice rules", "swarm/peers", "verbose=true"); got != `{"Peers":null}` {
		t.Errorf("of nobody it answers %s", got)
	}
	w.connections = []Connection{
		{
			Peer: "12D3b", Addr: "/ip4/127.0.0.1/tcp/2", Direction: network.DirOutbound, Latency: 1500 * time.Microsecond,
			Streams: []string{"/b\x1b[31m", "/a"}, PublicKey: "a2V5", Addresses: []string{"/y/p2p/12D3b", "/x/p2p/12D3b"},
			Agent: "kubo/\u202e\n" + strings.Repeat("z", 200), Protocols: []string{"/2", "/1"},
		},
		{Peer: "12D3a", Addr: "/ip4/127.0.0.1/tcp/1", Direction: network.DirInbound},
	}
	nobody := `"Identify":{"ID":"","PublicKey":"","Addresses":null,"AgentVersion":"","Protocols":null}`
	first, second := `{"Addr":"/ip4/127.0.0.1/tcp/1","Peer":"12D3a",`, `{"Addr":"/ip4/127.0.0.1/tcp/2","Peer":"12D3b",`
	streams := `"Streams":[{"Protocol":"/a"},{"Protocol":"/b` + "\ufffd" + `[31m"}],`
	identified := `"Identify":{"ID":"12D3b","PublicKey":"a2V5","Addresses":["/x/p2p/12D3b","/y/p2p/12D3b"],"AgentVersion":"kubo/` +
		"\ufffd\ufffd" + strings.Repeat("z", 121) + `","Protocols":["/1","/2"]}`
	for query, want := range map[string]string{
		"":               first + nobody + `},` + second + nobody + `}`,
		"direction=true": first + `"Direction":1,` + nobody + `},` + second + `"Direction":2,` + nobody + `}`,
		"latency=true":   first + `"Latency":"n/a",` + nobody + `},` + second + `"Latency":"1.5ms",` + nobody + `}`,
		"streams=true":   first + nobody + `},` + second + streams + nobody + `}`,
		"v=true": first + `"Latency":"n/a","Direction":1,"Identify":{"ID":"12D3a","PublicKey":"","Addresses":null,"AgentVersion":"","Protocols":null}},` +
			second + `"Latency":"1.5ms","Direction":2,` + streams + identified + `}`,
	} {
		if got := w.body("alice rules", "swarm/peers", query); got != `{"Peers":[`+want+`]}` {
			t.Errorf("swarm/peers?%s answers\n%s, want\n{\"Peers\":[%s]}", query, got, want)
		}
	}
	for _, who := range []string{"alice", "alice looks"} {
		w.refused(who, "swarm/peers", "", http.StatusForbidden, "not for this")
	}
}
