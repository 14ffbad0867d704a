package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
)

// The files that operators read.
const (
	readmeFile  = "../../../../README.md"
	guideFile   = "../../../../docs/guide.md"
	exampleFile = "../../../../config.example.toml"
)

var (
	namedFlag     = regexp.MustCompile("(?:^|[ `\\[(|])(--[a-z][a-z-]+)")
	namedVariable = regexp.MustCompile(`\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|GO[A-Z]{2,})\b`)
	namedPath     = regexp.MustCompile("(?:^|[ `\"'(]|:[0-9]+)((?:~|/|[a-z]+/)[A-Za-z0-9._/-]*[A-Za-z0-9/]|[A-Za-z*.]+\\.(?:key|deny|toml|md))")
	namedInData   = regexp.MustCompile("[`\"]([a-z.]+)[`\"][,a-z ]* in(?:to)? the data\\s+directory")
	namedKey      = regexp.MustCompile("`((?:http|node|pin|store|auth|provide|gateway|rpc|web|denylist|metrics|log)\\.[a-z_]+)\\b")
	anyMultiaddr  = regexp.MustCompile(`^/(ip4|ip6|dns4|tls|p2p|key|base16)\b`)
)

// documented are the flags, variables, files, paths and addresses that a text names. In a
// command line of another program, flags are that program's.
func documented(text string) (names []string) {
	add := func(matches [][]string) {
		for _, m := range matches {
			name := strings.TrimRight(m[1], "./")
			if name != "" && !anyMultiaddr.MatchString(name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for line := range strings.Lines(text) {
		command, indented := strings.CutPrefix(line, "    ")
		word, _, _ := strings.Cut(strings.TrimPrefix(command, "sudo "), " ")
		if !indented || !slices.Contains([]string{"ipfs", "systemctl", "curl"}, word) {
			add(namedFlag.FindAllStringSubmatch(line, -1))
		}
		add(namedVariable.FindAllStringSubmatch(line, -1))
		add(namedPath.FindAllStringSubmatch(line, -1))
	}
	add(namedInData.FindAllStringSubmatch(text, -1))
	return names
}

// elsewhere has the names that no script tries. For each it has the test that tries it, with
// its file, or says whose name it is.
var elsewhere = map[string]string{
	"--background":                         "Kubo's",
	"CAP_NET_BIND_SERVICE":                 "systemd's",
	"application/json":                     "a content type",
	"/ipfs/CID":                            "cmd/holdfast/internal/daemon/gateway_test.go TestGateway",
	"docs/gateway.md":                      "docs/gateway.md",
	"text/event-stream":                    "a content type",
	"docs/dashboard":                       "e2e/web/shots_test.go shots",
	"docs/dashboard/pins.light.png":        "e2e/web/shots_test.go shots",
	"/ipfs/CID/some/file":                  "node/denylist/list_test.go DeniedPath",
	"/etc/systemd/system/holdfast.service": "deploy/check.sh holdfast.service",
	"/usr/local/bin/holdfast":              "deploy/check.sh holdfast",
	"deploy/holdfast.service":              "deploy/check.sh holdfast.service",
	"deploy/prometheus":                    "cmd/holdfast/internal/daemon/deploy_test.go TestPrometheusTakesWhatIsDeployed",
	"deploy/grafana/holdfast.json":         "cmd/holdfast/internal/daemon/deploy_test.go TestDashboardUsesWhatIsTold",
	"/var/lib/holdfast.old":                "the operator's",
	"/etc/sysusers.d/holdfast.conf":        "deploy/release/try-deb.sh systemd-sysusers",
	"deploy/holdfast.sysusers":             "deploy/release/try-deb.sh systemd-sysusers",
	"deploy/container":                     "deploy/container/check.sh Caddyfile",
	"deploy/container/compose.yaml":        "deploy/container/check.sh compose.yaml",
	"docs/upgrading.md":                    "docs/upgrading.md",
	"/usr/bin/holdfast":                    "deploy/release/try-deb.sh /usr/bin/holdfast",
	"deploy/container/.env":                "deploy/container/check.sh DOMAIN",
	"upgrading.md":                         "docs/upgrading.md",
	"/dev/fuse":                            "e2e/filesystem_test.go /dev/fuse",
	"--log":                                "cmd/holdfast/support_test.go --log",
	"/tmp":                                 "deploy/release/test.sh no /tmp",
	"/etc/bash_completion.d/holdfast":      "bash's",
	"/api/admin/accounts/ID/role":          "cmd/holdfast/testdata/script/api_admin.txtar /role ADMIN",
	"/api/admin/accounts/ID/password":      "cmd/holdfast/testdata/script/api_admin.txtar /password ADMIN",
	"/api/admin/accounts/ID/pins":          "cmd/holdfast/testdata/script/api_admin.txtar /pins ADMIN",
	"/api/v0":                              "e2e/rpc_test.go TestRPC",
	"/api/v0/add":                          "cmd/holdfast/internal/daemon/http_upload_test.go TestUploadsThatGoWrong",
	"docs/rpc.md":                          "docs/rpc.md",
	"/api/v0/dag/export":                   "rpc/dag_test.go TestDagExport",
	"/dns/pins.example.org/tcp/443/https":  "Kubo's",
	"GOTOOLCHAIN":                          "deploy/release/build.sh GOTOOLCHAIN",
	"docs/guide.md":                        "docs/guide.md",
	"README.md":                            "README.md",
	"/backup":                              "the operator's",
	"/backup/holdfast":                     "the operator's",
	"/backup/holdfast-2026-11-22":          "the operator's",
	"~/.local/share/holdfast":              "cmd/holdfast/testdata/script/documented.txtar home/.local/share/holdfast",
	"/var/lib/holdfast-backups":            "deploy/holdfast.service StateDirectory=holdfast holdfast-backups",
	"--cid-version":                        "cmd/holdfast/transfer_test.go TestAddCommand",
	"--raw-leaves":                         "cmd/holdfast/transfer_test.go TestAddCommand",
	"--chunker":                            "cmd/holdfast/transfer_test.go TestAddCommand",
	"--car":                                "cmd/holdfast/transfer_test.go TestAddCommand",
	"HOLDFAST_API":                         "cmd/holdfast/transfer_test.go TestTransferTokens",
	"HOLDFAST_TOKEN":                       "cmd/holdfast/transfer_test.go TestTransferTokens",
	"--api":                                "cmd/holdfast/transfer_test.go TestAddCommand",
	"--token-file":                         "cmd/holdfast/transfer_test.go TestTransferTokens",
	"--token":                              "cmd/holdfast/transfer_test.go TestTransferTokens",
	"docs/backup.md":                       "docs/backup.md",
	"AWS_ACCESS_KEY_ID":                    "e2e/s3/backup_test.go AWS_ACCESS_KEY_ID",
	"AWS_SECRET_ACCESS_KEY":                "e2e/s3/backup_test.go AWS_SECRET_ACCESS_KEY",
	"docs/cluster.md":                      "docs/cluster.md",
	"docs/benchmarks.md":                   "docs/benchmarks.md",
	"docs/codecs.md":                       "docs/codecs.md",
	"docs/moving.md":                       "docs/moving.md",
	"docs/architecture.md":                 "docs/architecture.md",
	"docs/surprises.md":                    "docs/surprises.md",
	"CHANGELOG.md":                         "CHANGELOG.md",
	"config.example.toml":                  "cmd/holdfast/internal/config/config_test.go TestExampleIsTheDefaults",
	"*.deny":                               "cmd/holdfast/testdata/script/denylists.txtar mine.deny",
}

// Everything that these files name is tried on an empty machine. Either a script has the name
// in a line that does something, or a row above says where it is tried.
func TestDocumentedPlacesWork(t *testing.T) {
	scripts, err := filepath.Glob("../../testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	var tried strings.Builder
	for _, path := range scripts {
		for line := range strings.Lines(readText(t, path)) {
			if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "std") { // what is expected is not tried
				tried.WriteString(line)
			}
		}
	}
	named := map[string]bool{}
	for _, file := range []string{readmeFile, guideFile, exampleFile} {
		for _, name := range documented(readText(t, file)) {
			named[name] = true
			row, there := elsewhere[name]
			if !there {
				whole := regexp.MustCompile(`(^|[^a-z-])` + regexp.QuoteMeta(name) + `($|[^a-z-])`)
				if !whole.MatchString(tried.String()) {
					t.Errorf("%s names %s, and no script tries it", filepath.Base(file), name)
				}
				continue
			}
			path, test, _ := strings.Cut(row, " ")
			if !strings.Contains(path, ".") {
				continue // it is somebody else's
			}
			if !strings.Contains(readText(t, filepath.Join("../../../..", path)), test) {
				t.Errorf("%s names %s, and there is no %s in %s that tries it", filepath.Base(file), name, test, path)
			}
		}
		for _, m := range namedKey.FindAllStringSubmatch(readText(t, file), -1) {
			section, name, _ := strings.Cut(m[1], ".")
			if _, ok := documentedKeys(t)[section][name]; !ok {
				t.Errorf("%s names the key %s, and there is none", filepath.Base(file), m[1])
			}
		}
	}
	for name := range elsewhere {
		if !named[name] {
			t.Errorf("there is a row for %s, which nothing names", name)
		}
	}
	if len(named) < 55 { // they would be written in another way now
		t.Errorf("only %d names were found", len(named))
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// otherValues has another value than the default for each key of config.example.toml, as
// TOML, with the other keys that it needs. A server is started with each.
func otherValues(t *testing.T) map[string]string {
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%q", path)
	}
	const peer = `["/ip4/127.0.0.1/tcp/9/p2p/12D3KooWQmJC7C6yPaG5fCwRRctv7fK1doGrSMGpWqdx9rnRsUzi"]`
	cert, key := certificate(t, "pins.example.com")
	certFile, keyFile := file("cert.pem", cert), file("key.pem", key)
	withTLS := "\nhttp.tls = \"files\"\nhttp.tls_cert = " + certFile + "\nhttp.tls_key = " + keyFile
	const withCluster = "\ncluster.peers = [\"http://127.0.0.1:1\"]\ncluster.nodes = [\"http://127.0.0.1:1\"]"
	passwordFile := file("cluster.pw", []byte("secret\n"))
	lists := filepath.Join(dir, "lists")
	if err := os.Mkdir(lists, 0o700); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"http.listen":          `"[::1]:0"`,
		"http.public_url":      `"https://pins.example.com"`,
		"http.tls":             `"files"` + strings.Replace(withTLS, "\nhttp.tls = \"files\"", "", 1),
		"http.tls_cert":        certFile + strings.Replace(withTLS, "\nhttp.tls_cert = "+certFile, "", 1),
		"http.tls_key":         keyFile + strings.Replace(withTLS, "\nhttp.tls_key = "+keyFile, "", 1),
		"http.acme_domains":    `["pins.example.com"]`, // what comes of it is in TestTLSFromACME
		"http.acme_email":      `"you@example.com"`,
		"http.acme_ca":         `"https://127.0.0.1:1/directory"`,
		"http.acme_ca_roots":   file("roots.pem", cert),
		"http.trusted_proxies": `["10.0.0.0/8"]`,
		"http.cors_origins":    `["https://app.example.com"]`,
		"http.max_connections": `100`,

		"node.listen":                  `["/ip4/127.0.0.1/udp/0/quic-v1"]`,
		"node.announce":                `["/dns4/pins.example.com/tcp/4040"]`,
		"node.append_announce":         `["/dns4/pins.example.com/tcp/443/tls/ws"]`,
		"node.bootstrap":               peer,
		"node.routing":                 `"none"`,
		"node.delegated_routers":       `["https://router.example.com"]`,
		"node.peering":                 peer,
		"node.allow_private_addresses": `true`,
		"node.http_retrieval":          `false`,
		"node.profile":                 `"small"`,
		"node.reachability":            `"private"`,
		"node.nat_port_map":            `false`,
		"node.autonat":                 `false`,
		"node.relay_client":            `false`,
		"node.static_relays":           peer,
		"node.relay_service":           `false`,
		"node.hole_punching":           `false`,
		"node.swarm_key":               file("swarm.key", []byte("/key/swarm/psk/1.0.0/\n/base16/\n"+strings.Repeat("0123456789abcdef", 4)+"\n")),

		"provide.enabled":  `false`,
		"provide.strategy": `"all"`,
		"provide.interval": `"10h"`,

		"pin.workers":        `2`,
		"pin.stall_timeout":  `"1m"`,
		"pin.keep_partial":   `"2h"`,
		"pin.max_dag_bytes":  `"1GiB"`,
		"pin.max_dag_blocks": `1000`,
		"pin.max_block_size": `"1MiB"`,
		"pin.max_links":      `500`,
		"pin.max_depth":      `20`,
		"pin.total_timeout":  `"1h"`,
		"pin.import_profile": `"unixfs-v1-2025"`,

		"store.min_free_space":   `"300MiB"`,
		"store.reclaim_interval": `"0s"`,

		"auth.registration":      `"open"`,
		"auth.register_quota":    `"1GiB"`,
		"auth.register_max_pins": `5`,
		"auth.access_token_ttl":  `"1d"`,
		"auth.refresh_token_ttl": `"2d"`,
		"auth.audit_keep":        `"0"`,

		"backup.to":          fmt.Sprintf("%q", filepath.Join(dir, "backups")),
		"backup.key_file":    keyFile, // it is read when a backup is made
		"backup.every":       `"12h"`,
		"backup.keep_last":   `3`,
		"backup.keep_within": `"1d"`,
		"backup.server_keys": `true`,

		// What comes of these is in TestFront.
		"cluster.peers":         `["http://127.0.0.1:1"]` + "\ncluster.nodes = [\"http://127.0.0.1:1\"]",
		"cluster.nodes":         `["http://127.0.0.1:1"]` + "\ncluster.peers = [\"http://127.0.0.1:1\"]",
		"cluster.username":      `"holdfast"` + withCluster + "\ncluster.password_file = " + passwordFile,
		"cluster.password_file": passwordFile + withCluster + "\ncluster.username = \"holdfast\"",
		"cluster.ca_file":       file("ca.pem", cert) + withCluster,
		"cluster.replication":   `"3"`,
		"cluster.lost_after":    `"2h"`,

		"gateway.listen":        `"127.0.0.1:0"`,
		"gateway.max_requests":  `4`,
		"gateway.deserialized":  `true`,
		"gateway.hosts":         `["localhost", "dweb.example.org"]`,
		"gateway.path_hosts":    `["127.0.0.1"]`,
		"gateway.dnslink_hosts": `["www.example.org"]`,
		"rpc.listen":            fmt.Sprintf("%q", "unix:"+filepath.Join(dir, "rpc.sock")),
		"rpc.account":           `"node@example.org"`,
		"rpc.unpin_grace":       `"1h"`,
		"web.enabled":           `false`,
		"denylist.dirs":         fmt.Sprintf("[%q]", lists),
		"metrics.listen":        `"127.0.0.1:0"`,
		"log.level":             `"debug"`,
		"log.format":            `"json"`,
	}
}

// With each documented key alone in its file, a server starts on a new data directory.
func TestDocumentedKeysWork(t *testing.T) {
	values := otherValues(t)
	for section, keys := range documentedKeys(t) {
		for name := range keys {
			key := section + "." + name
			value, ok := values[key]
			if !ok {
				t.Errorf("%s is documented, and there is no value to try it with", key)
				continue
			}
			delete(values, key)
			t.Run(key, func(t *testing.T) { startWith(t, key, value) })
		}
	}
	for key := range values {
		t.Errorf("%s is tried, and is not documented", key)
	}
}

// documentedKeys are those of config.example.toml, by their sections.
func documentedKeys(t *testing.T) (sections map[string]map[string]any) {
	t.Helper()
	if err := toml.Unmarshal([]byte(readText(t, exampleFile)), &sections); err != nil {
		t.Fatal(err)
	}
	return sections
}

// startWith starts a server that has a key in its file.
func startWith(t *testing.T, key, value string) {
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte(key+" = "+value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// As in other tests nothing leaves the machine. The variable of the key is left out.
	variable := "HOLDFAST_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
	environ := slices.DeleteFunc([]string{
		"HOLDFAST_HTTP_LISTEN=127.0.0.1:0",
		"HOLDFAST_NODE_LISTEN=/ip4/127.0.0.1/tcp/0",
		"HOLDFAST_NODE_ROUTING=none",
		"HOLDFAST_NODE_BOOTSTRAP=",
		"HOLDFAST_METRICS_LISTEN=127.0.0.1:0",
		"HOLDFAST_STORE_MIN_FREE_SPACE=64MiB",
		"HOLDFAST_DENYLIST_DIRS=",
	}, func(v string) bool { return strings.HasPrefix(v, variable+"=") })
	given, warnings, err := config.Load(file, environ, nil)
	if err != nil || len(warnings) > 0 && key != "node.relay_client" && key != "node.delegated_routers" {
		t.Fatalf("%v, %v", warnings, err)
	}
	was, _, err := config.Load("", environ, nil)
	if err != nil {
		t.Fatal(err)
	}
	if reflect.DeepEqual(was, given) {
		t.Fatalf("%s = %s changes nothing", key, value)
	}
	p, lines := testProgram(t, testDataDir(t))
	p.Config = given
	if err := p.Run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, lines)
	}
	if !bytes.Contains([]byte(lines.String()), []byte("msg=ready")) {
		t.Errorf("it is not ready:\n%s", lines)
	}
}
