package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"

	"github.com/holdfast-ipfs/holdfast/node"
)

const exampleFile = "../../../../config.example.toml"

func TestExampleIsTheDefaults(t *testing.T) {
	c := Config{} // not the defaults: every key must be in the file
	if err := readConfigFile(exampleFile, &c); err != nil {
		t.Fatal(err)
	}
	if want := Default(); !reflect.DeepEqual(c, want) {
		t.Errorf("the example decodes to\n%+v\nand the defaults are\n%+v", c, want)
	}
}

// The check above does not notice a missing key whose default is the zero value.
func TestExampleHasEveryKey(t *testing.T) {
	doc, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	var sections map[string]map[string]any
	if err := toml.Unmarshal(doc, &sections); err != nil {
		t.Fatal(err)
	}
	for _, key := range settingKeys() {
		section, name, _ := strings.Cut(key, ".")
		if _, ok := sections[section][name]; !ok {
			t.Errorf("%s is missing", key)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if want := node.DefaultListen(); !reflect.DeepEqual(c.Node.Listen, want) {
		t.Errorf("node.listen is %q by default, and the node's own default %q", c.Node.Listen, want)
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigFileErrors(t *testing.T) {
	for _, tt := range []struct{ name, doc, want string }{
		{"unknown key", "[http]\nlisten = \":1\"\nlistne = \":2\"\n", ":3: unknown key http.listne; did you mean http.listen?"},
		{"unknown key far from all", "[http]\nzzzzzzzzzz = 1\n", ":2: unknown key http.zzzzzzzzzz"},
		{"unknown section", "\n[htp]\nlisten = \":1\"\n", ":2: unknown key htp"},
		{"key outside of its section", "workers = 3\n", ":1: unknown key workers"},
		{"a number where text belongs", "[log]\nlevel = 3\n", ":2: log.level: want a string"},
		{"text where a number belongs", "[pin]\n# how many\nworkers = \"many\"\n", ":3: pin.workers: want a whole number"},
		{"text where a bool belongs", "[node]\nallow_private_addresses = \"yes\"\n", ":2: node.allow_private_addresses: want true or false"},
		{"text where a list belongs", "[node]\nbootstrap = \"auto\"\n", ":2: node.bootstrap: want a list of strings"},
		{"a number in a list", "[node]\nannounce = [\n  \"/ip4/1.1.1.1/tcp/1\",\n  3,\n]\n", ":4: node.announce: want a list of strings"},
		{"a duration without a unit", "[pin]\nstall_timeout = \"30\"\n", `:2: pin.stall_timeout: "30" is not a duration; write it as 90s, 30m, 12h or 30d`},
		{"a negative duration", "[pin]\nstall_timeout = \"-5m\"\n", `"-5m" is not a duration`},
		{"a size of nothing known", "[store]\nmin_free_space = \"1 parsec\"\n", `:2: store.min_free_space: "1 parsec" is not a size; write it as 512MiB, 10GiB or a number of bytes`},
		{"not TOML", "[http\n", ":1: "},
		{"a key twice", "[pin]\nworkers = 1\nworkers = 2\n", "workers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Default()
			path := writeFile(t, tt.doc)
			err := readConfigFile(path, &c)
			if err == nil {
				t.Fatal("no error")
			}
			if s := err.Error(); !strings.HasPrefix(s, path) || !strings.Contains(s, tt.want) {
				t.Errorf("error is %q, want it to begin with the path and to contain %q", s, tt.want)
			}
			if strings.Contains(err.Error(), "struct") {
				t.Errorf("error %q speaks of Go", err)
			}
		})
	}
}

func TestAllUnknownKeysAreTold(t *testing.T) {
	c := Default()
	err := readConfigFile(writeFile(t, "[pin]\na1 = 1\n[auth]\nb2 = 2\n"), &c)
	if err == nil || !strings.Contains(err.Error(), ":2: unknown key pin.a1") || !strings.Contains(err.Error(), ":4: unknown key auth.b2") {
		t.Errorf("error is %v, want both keys in it", err)
	}
}

func TestConfigValues(t *testing.T) {
	for _, tt := range []struct{ key, value, want string }{
		{"http.listen", "5050", "want HOST:PORT"},
		{"auth.registration", "everybody", "want one of closed, invite, open"},
		{"http.listen", "127.0.0.1:99999", "want HOST:PORT"},
		{"http.public_url", "pins.example.com", "want a URL such as https://pins.example.com"},
		{"http.public_url", "https://pins.example.com/?a=b", "want a URL"},
		{"http.trusted_proxies", "10.0.0.0/8,proxy", "want an address or a network"},
		{"http.cors_origins", "https://app.example.com/", "without a path"},
		{"node.listen", "0.0.0.0:4040", "want a multiaddr"},
		{"node.listen", "/ip4/127.0.0.1/tcp/0/tls/ws", "http.tls"},
		{"node.listen", "/ip4/127.0.0.1/tcp/0/wss", "http.tls"},
		{"node.announce", "/ip4/1.2.3/tcp/1", "want a multiaddr"},
		{"node.append_announce", "/ip4/1.2.3/tcp/1", "want a multiaddr"},
		{"node.bootstrap", "/ip4/127.0.0.1/tcp/4001", "/p2p/ID"},
		{"node.routing", "dht", "want one of auto, none"},
		{"node.delegated_routers", "https://a.example.com,b.example.com", "want a URL such as https://router.example.com"},
		{"node.delegated_routers", "https://a.example.com/routing/v2", "only /routing/v1"},
		{"node.peering", "/ip4/192.0.2.1/tcp/4001", "/p2p/ID"},
		{"cluster.peers", "http://s1.internal:9094,s2.internal:9094", "want a URL such as http://s1.internal:9094"},
		{"cluster.peers", "http://holdfast:secret@s1.internal:9094", "without a password"},
		{"cluster.peers", "http://s1.internal:9094/?a=b", "want a URL"},
		{"cluster.nodes", "unix:rpc.sock", "unix:/run/holdfast/rpc.sock"},
		{"cluster.replication", "3-2", "larger than the second"},
		{"cluster.replication", "", "want a number of copies"},
		{"provide.strategy", "pinned", "want one of roots, entities, all"},
		{"provide.interval", "0s", "want a time from a minute to 48h"},
		{"provide.interval", "3d", "want a time from a minute to 48h"},
		{"pin.workers", "0", "want a number from 1 to"},
		{"pin.import_profile", "modern", "want one of default, unixfs-v1-2025"},
		{"pin.max_dag_blocks", "-1", "want a number, or 0"},
		{"pin.stall_timeout", "0", "want a second or more"},
		{"auth.access_token_ttl", "1ms", "want a second or more"},
		{"auth.refresh_token_ttl", "0s", "want a second or more"},
		{"gateway.max_requests", "0", "want a number from 1 to"},
		{"gateway.hosts", "https://dweb.example.com", "without a scheme"},
		{"gateway.hosts", "dweb.example.com:8080", "without a scheme and a port"},
		{"gateway.hosts", "*.example.com", "want a host name"},
		{"gateway.hosts", "Dweb.example.com", "in lower case"},
		{"gateway.hosts", "192.0.2.1", "gateway.path_hosts"},
		{"gateway.hosts", "a.example.com,a.example.com", "once"},
		{"gateway.path_hosts", "[::1]", "want a host name"},
		{"gateway.dnslink_hosts", "127.0.0.1", "no DNSLink"},
		{"log.level", "verbose", "want one of debug, info, warn, error"},
		{"log.format", "xml", "want one of text, json"},
	} {
		t.Run(tt.key+"="+tt.value, func(t *testing.T) {
			s, ok := findSetting(tt.key)
			if !ok {
				t.Fatal("no such key")
			}
			_, _, err := Load("", []string{s.env() + "=" + tt.value}, nil)
			if err == nil {
				t.Fatal("no error")
			}
			bad := tt.value[strings.LastIndex(tt.value, ",")+1:]
			for _, part := range []string{tt.key, bad, tt.want} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not contain %q", err, part)
				}
			}
		})
	}
}

// Cookies do not know ports: content at the host of the dashboard, or below a domain that both
// are below, could read or set those of a login.
func TestGatewayIsNotAtTheDashboard(t *testing.T) {
	const public, acme = "HOLDFAST_HTTP_PUBLIC_URL=", "HOLDFAST_HTTP_TLS=acme HOLDFAST_HTTP_ACME_ACCEPT_TOS=true HOLDFAST_HTTP_ACME_DOMAINS="
	for _, tt := range []struct{ dashboard, key, host, want string }{
		{public + "https://pins.example.com", "gateway.hosts", "pins.example.com", "is the host of the dashboard"},
		{public + "https://Pins.Example.com.:8443/x", "gateway.hosts", "pins.example.com", "is the host of the dashboard"},
		{public + "https://pins.example.com", "gateway.path_hosts", "pins.example.com", "is the host of the dashboard"},
		{public + "https://pins.example.com", "gateway.dnslink_hosts", "pins.example.com", "is the host of the dashboard"},
		{public + "http://127.0.0.1:5050", "gateway.path_hosts", "127.0.0.1", "is the host of the dashboard"},
		{public + "https://pins.example.com", "gateway.hosts", "example.com", "set cookies"},
		{public + "https://a.b.example.com", "gateway.hosts", "example.com", "set cookies"},
		{acme + "pins.example.com", "gateway.hosts", "example.com", "set cookies"},
		{public + "https://pins.example.com", "gateway.hosts", "dweb.example.com", ""},
		{public + "https://pins.example.com", "gateway.hosts", "ins.example.com", ""},
		{public + "https://pins.example.com", "gateway.hosts", "x.pins.example.com", "is below the host of the dashboard"},
		{public + "https://pins.example.com", "gateway.dnslink_hosts", "example.com", ""},
		{public + "http://127.0.0.1:5050", "gateway.hosts", "localhost", ""},
		{public, "gateway.hosts", "example.com", ""},
	} {
		s, ok := findSetting(tt.key)
		if !ok {
			t.Fatal("no such key")
		}
		_, _, err := Load("", append(strings.Fields(tt.dashboard), s.env()+"="+tt.host), nil)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.key)) {
			t.Errorf("%s with %s at %s: %v, want %q", tt.key, tt.host, tt.dashboard, err, tt.want)
		}
	}
}

// A server whose pins a cluster keeps has no blocks to serve, and its password needs a name.
func TestClusterSettings(t *testing.T) {
	const peers = "HOLDFAST_CLUSTER_PEERS=http://s1.internal:9094"
	for _, c := range []struct {
		env        []string
		err, warns string
	}{
		{[]string{peers, "HOLDFAST_GATEWAY_LISTEN=127.0.0.1:0"}, "gateway.listen", ""},
		{[]string{peers, "HOLDFAST_RPC_LISTEN=127.0.0.1:0"}, "rpc.listen", ""},
		{[]string{peers, "HOLDFAST_CLUSTER_USERNAME=x"}, "cluster.password_file", ""},
		{[]string{peers, "HOLDFAST_CLUSTER_PASSWORD_FILE=/x"}, "cluster.username", ""},
		{[]string{peers}, "", "cluster.nodes is empty"},
		{[]string{"HOLDFAST_CLUSTER_NODES=unix:/x"}, "", "no effect without cluster.peers"},
		{[]string{peers, "HOLDFAST_CLUSTER_NODES=unix:/x", "HOLDFAST_CLUSTER_USERNAME=x", "HOLDFAST_CLUSTER_PASSWORD_FILE=/x"}, "", "unencrypted"},
		{[]string{peers, "HOLDFAST_CLUSTER_NODES=unix:/x"}, "", ""},
	} {
		_, warnings, err := Load("", c.env, nil)
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%v: %v, want %q", c.env, err, c.err)
		}
		if all := strings.Join(warnings, "; "); err == nil && (c.warns == "" && all != "" || !strings.Contains(all, c.warns)) {
			t.Errorf("%v: warnings are %q, want %q", c.env, all, c.warns)
		}
	}
}

func TestKeysWithoutEffect(t *testing.T) {
	env := []string{"HOLDFAST_NODE_DELEGATED_ROUTERS=https://router.example.com", "HOLDFAST_NODE_ROUTING=none"}
	_, warnings, err := Load("", env, nil)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "node.delegated_routers") {
		t.Errorf("warnings %q, error %v", warnings, err)
	}
	if _, warnings, err = Load("", env[:1], nil); err != nil || len(warnings) > 0 {
		t.Errorf("with routing: warnings %q, error %v", warnings, err)
	}
}

// A certificate is for a name: without one, what is told of an address with TLS is no use.
// Two servers cannot have one port. What may be different ports is no fault.
func TestSamePort(t *testing.T) {
	for _, c := range []struct{ http, metrics, gateway, rpc, warns string }{
		{http: "127.0.0.1:7000", metrics: "127.0.0.1:7000", warns: "http.listen = \"127.0.0.1:7000\" and metrics.listen"},
		{http: ":7000", gateway: "127.0.0.1:7000", warns: "http.listen = \":7000\" and gateway.listen"},
		{metrics: "127.0.0.1:7001", rpc: "127.0.0.1:7001", warns: "metrics.listen = \"127.0.0.1:7001\" and rpc.listen"},
		{gateway: "[::]:7001", metrics: "127.0.0.1:7001", warns: "gateway.listen = \"[::]:7001\" and metrics.listen"},
		{http: "127.0.0.1:0", metrics: "127.0.0.1:0"},
		{http: "127.0.0.1:7000", metrics: "127.0.0.2:7000", rpc: "unix:/run/holdfast/rpc.sock"},
		{}, {http: ":7000", metrics: ""},
	} {
		var env []string
		for name, at := range map[string]string{"HTTP": c.http, "METRICS": c.metrics, "GATEWAY": c.gateway, "RPC": c.rpc} {
			if at != "" {
				env = append(env, "HOLDFAST_"+name+"_LISTEN="+at)
			}
		}
		_, warnings, err := Load("", env, nil)
		if all := strings.Join(warnings, "; "); err != nil || (c.warns == "" && all != "") || !strings.Contains(all, c.warns) {
			t.Errorf("%+v: warnings are %q, error %v", c, warnings, err)
		}
	}
}

func TestCertificateNeedsAName(t *testing.T) {
	env := []string{
		"HOLDFAST_NODE_LISTEN=/ip4/127.0.0.1/tcp/0/tls/ws", "HOLDFAST_HTTP_TLS=files",
		"HOLDFAST_HTTP_TLS_CERT=cert.pem", "HOLDFAST_HTTP_TLS_KEY=key.pem",
	}
	for more, want := range map[string]int{
		"HOLDFAST_HTTP_PUBLIC_URL=":                                            1,
		"HOLDFAST_HTTP_PUBLIC_URL=https://192.0.2.1:5050":                      1,
		"HOLDFAST_HTTP_PUBLIC_URL=https://pins.example.com":                    0,
		"HOLDFAST_NODE_ANNOUNCE=/dns4/pins.example.com/tcp/4041/tls/ws":        0,
		"HOLDFAST_NODE_APPEND_ANNOUNCE=/dns4/pins.example.com/tcp/4041/tls/ws": 1,
	} {
		_, warnings, err := Load("", append(env, more), nil)
		if err != nil || len(warnings) != want || want > 0 && !strings.Contains(warnings[0], "http.public_url") {
			t.Errorf("%s: warnings %q, error %v", more, warnings, err)
		}
	}
}

func TestPrecedence(t *testing.T) {
	file := writeFile(t, "[http]\nlisten = \"127.0.0.1:1\"\n[pin]\nworkers = 2\nstall_timeout = \"2d\"\n[log]\nlevel = \"warn\"\n")
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	AddConfigFlags(flags)
	if err := flags.Parse([]string{"--http-listen", "127.0.0.1:3", "--node-allow-private-addresses", "--node-bootstrap="}); err != nil {
		t.Fatal(err)
	}
	env := []string{"HOLDFAST_HTTP_LISTEN=127.0.0.1:2", "HOLDFAST_PIN_WORKERS=5", "HOLDFAST_NODE_LISTEN= /ip4/127.0.0.1/tcp/0 ,/ip4/127.0.0.1/udp/0/quic-v1", "HOLDFAST_HTTP_CORS_ORIGINS="}
	c, warnings, err := Load(file, env, flags)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("warnings %q, error %v", warnings, err)
	}
	want := Default()
	want.HTTP.Listen = "127.0.0.1:3"       // flag, over the environment
	want.Node.AllowPrivateAddresses = true // flag, without a value
	want.Node.Bootstrap = []string{}       // flag: an empty list
	want.Pin.Workers = 5                   // environment, over the file
	want.Node.Listen = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
	want.HTTP.CORSOrigins = []string{}               // environment: an empty list
	want.Pin.StallTimeout = Duration(48 * time.Hour) // file, over the defaults
	want.Log.Level = "warn"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v, want\n%+v", c, want)
	}
}

func TestEveryKeyFromTheEnvironment(t *testing.T) {
	values := map[string]string{ // by the type of the field, something that no default is
		"string": "x", "[]string": "x,y", "bool": "true", "int": "7", "config.Duration": "3d", "config.Size": "3MiB",
	}
	c := Config{}
	var env []string
	for _, s := range settings(&c) {
		v, ok := values[s.value.Type().String()]
		if !ok {
			t.Fatalf("%s has the type %s", s.key, s.value.Type())
		}
		env = append(env, s.env()+"="+v)
	}
	warnings, err := readEnv(env, &c)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("warnings %q, error %v", warnings, err)
	}
	for _, s := range settings(&c) {
		if s.value.IsZero() {
			t.Errorf("%s set nothing", s.env())
		}
	}
}

func TestUnknownVariableGetsAWarning(t *testing.T) {
	_, warnings, err := Load("", []string{
		"HOLDFAST_HTTP_LISTN=:1", "HOLDFAST_SERVICE_PORT=80", "HOLDFAST_DATA=/x", "HOLDFAST_CONFIG=/y", "OTHER=1",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"the variable HOLDFAST_HTTP_LISTN is not a setting, and does nothing; did you mean HOLDFAST_HTTP_LISTEN?",
		"the variable HOLDFAST_SERVICE_PORT is not a setting, and does nothing",
	}
	if !reflect.DeepEqual(warnings, want) {
		t.Errorf("warnings are %q, want %q", warnings, want)
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "90s": 90 * time.Second, "30d": 30 * day, "1d12h": 36 * time.Hour, "1h30m": 90 * time.Minute, "0d": 0,
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%q is %v (%v), want %v", text, d, err, want)
		}
		var again Duration
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%q is written %q and read as %v (%v)", text, d, again, err)
		}
	}
	for _, text := range []string{"", "d", "30", "-1d", "1.5d", "1d-1h", "1d1", "99999999d", "65535d9999999h", "1h1d", "x"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken, as %v", text, time.Duration(d))
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "4096": 4096, "1KiB": 1024, "1GiB": 1 << 30, "1.5GiB": 3 << 29, "2 MB": 2_000_000} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q is %d (%v), want %d", text, s, err, want)
		}
		var again Size
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%q is written %q and read as %d (%v)", text, s, again, err)
		}
	}
	for _, text := range []string{"", "-1", "GiB", "1 parsec", "1e99"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken, as %d", text, uint64(s))
		}
	}
}

// The RPC without tokens is for this machine alone.
func TestRPCListen(t *testing.T) {
	for listen, want := range map[string]string{
		"":                                  "",
		"unix:/run/holdfast/rpc.sock":       "unix /run/holdfast/rpc.sock",
		"127.0.0.1:5001":                    "tcp 127.0.0.1:5001",
		"127.7.7.7:0":                       "tcp 127.7.7.7:0",
		"[::1]:5001":                        "tcp [::1]:5001",
		"localhost:5001":                    "tcp 127.0.0.1:5001",
		"unix:rpc.sock":                     "want the path of a socket from the root",
		"unix:/run/../rpc.sock":             "want the path of a socket from the root",
		"unix:/" + strings.Repeat("x", 200): "at most",
		":5001":                             "this machine alone",
		"0.0.0.0:5001":                      "can be reached by others",
		"[::]:5001":                         "can be reached by others",
		"10.0.0.1:5001":                     "can be reached by others",
		"192.0.2.1:5001":                    "can be reached by others",
		"127.0.0.1":                         "HOST:PORT",
		"127.0.0.1:http":                    "HOST:PORT",
		"nowhere.invalid:5001":              "is not found",
	} {
		c := Default()
		c.RPC.Listen = listen
		if err := c.Validate(); err != nil {
			if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "rpc.listen") {
				t.Errorf("%q: %v, want %q", listen, err, want)
			}
			continue
		}
		if listen == "" {
			continue
		}
		if network, address, err := c.RPC.Address(); err != nil || network+" "+address != want {
			t.Errorf("%q: %s %s, %v; want %q", listen, network, address, err, want)
		}
	}
	c := Default()
	c.RPC.Listen, c.RPC.Account = "127.0.0.1:5001", "nobody"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "rpc.account") {
		t.Errorf("an account without an address: %v", err)
	}
}
