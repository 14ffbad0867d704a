package support

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Scrubber takes out of a text what an operator must not give away: secrets, the addresses of users
// and of other nodes, and the names of what is pinned. What is left of each is a made-up word, the
// same wherever it stands in one bundle, so that lines about the same thing can be put together. The
// word cannot be turned back: it is made with a key that is kept nowhere.
type Scrubber struct {
	key   []byte
	known []string       // that are taken out wherever they stand, the longest first
	hosts *regexp.Regexp // names of hosts, each between what is in no name; nil is none
}

// NewScrubber makes a scrubber. It also takes out what is known to be private, such as the addresses
// of accounts, in whatever form they have.
func NewScrubber(known ...string) *Scrubber {
	s := &Scrubber{key: []byte(rand.Text())}
	for _, k := range known {
		if len(k) >= shortestKnown {
			s.known = append(s.known, k)
		}
	}
	slices.SortFunc(s.known, func(a, b string) int { return len(b) - len(a) })
	return s
}

// ordinary names say nothing of anybody, and stand in many lines.
var ordinary = []string{"localhost", "holdfast", "backup", "backups", "default", "true", "false"}

// Hosts has the scrubber also take out names of hosts and of buckets where they stand alone, such
// as in the error of a resolver. IP addresses, names of this host for itself and short names are
// left to the other rules.
func (s *Scrubber) Hosts(names ...string) {
	var patterns []string
	for _, name := range names {
		name = strings.ToLower(strings.Trim(name, "*. "))
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		if _, err := netip.ParseAddr(name); err == nil || len(name) < shortestKnown || slices.Contains(ordinary, name) {
			continue
		}
		patterns = append(patterns, regexp.QuoteMeta(name))
	}
	if len(patterns) == 0 {
		return
	}
	slices.SortFunc(patterns, func(a, b string) int { return len(b) - len(a) })
	s.hosts = regexp.MustCompile(`(?i)(^|[^\w-])(` + strings.Join(patterns, "|") + `)\b`)
}

// shortestKnown: a shorter text would be found in the middle of words.
const shortestKnown = 4

// word is what stands in the place of something.
func (s *Scrubber) word(kind, what string) string {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(what))
	return "(" + kind + "-" + hex.EncodeToString(h.Sum(nil))[:8] + ")"
}

// rule takes one kind of thing out. with gets the groups of the pattern.
type rule struct {
	pattern *regexp.Regexp
	with    func(s *Scrubber, groups []string) string
}

func as(kind string) func(*Scrubber, []string) string {
	return func(s *Scrubber, groups []string) string { return s.word(kind, groups[0]) }
}

// inOrder are the rules: what is inside of other things comes after them.
var inOrder = []rule{
	// Secrets: keys in PEM, keys of age, JSON web tokens, and what is behind "Bearer".
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----`), as("secret")},
	{regexp.MustCompile(`AGE-[A-Z-]*KEY-[0-9A-Z]+`), as("secret")},
	{regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]*`), as("secret")},
	{regexp.MustCompile(`(?i)(bearer|basic)(\s+|:|%20)[^\s"']+`), as("secret")},
	// What is called a secret.
	{regexp.MustCompile(`(?i)(\b(?:pass(?:word|wd)?|secret|token|invite|key_id|access_key)\\?"?\s*[:=]\s*)(\\"[^"\\]*\\"|"(?:[^"\\]|\\.)*"|[^\s"&,}]+)`),
		func(s *Scrubber, g []string) string { return g[1] + s.word("secret", g[2]) }},
	// What people named, and who they are.
	{regexp.MustCompile(`(?i)(\b(?:name|user|email|login|meta|account|client|remote|origins?|key_file)\\?"?\s*[:=]\s*)(\\"[^"\\]*\\"|"(?:[^"\\]|\\.)*"|[^\s"&,}(\[{]+)`),
		func(s *Scrubber, g []string) string { return g[1] + s.word("value", strings.Trim(g[2], `\"`)) }},
	{regexp.MustCompile(`(?i)(\bhost(?:\\?"\s*:\s*|=))(\\"[^"\\]*\\"|"(?:[^"\\]|\\.)*"|[^\s"&,}(\[{]+)`), func(s *Scrubber, g []string) string {
		name := strings.Trim(g[2], `\"`)
		if scrubbed := s.host(name); scrubbed != name {
			return g[1] + scrubbed
		}
		return g[0]
	}},
	// URLs: what is before the host, the host, and the query.
	{regexp.MustCompile(`(\b[a-z][a-z0-9+.-]*://)(?:[^\s/@"'<>]*@)?([^\s/?#"'<>()]+)`), func(s *Scrubber, g []string) string {
		return g[1] + s.host(g[2])
	}},
	{regexp.MustCompile(`([/\w])\?[^\s"'<>]*=[^\s"'<>]*`), func(_ *Scrubber, g []string) string { return g[1] + "?(query)" }},
	// Names of hosts in the errors of resolvers and of TLS.
	{regexp.MustCompile(`(\blookup )([\w.-]+\w)(\.?(?:: | on ))`), func(s *Scrubber, g []string) string {
		if g[3] == ": " && !strings.Contains(g[2], ".") { // such as "lookup failed: "
			return g[0]
		}
		return g[1] + s.host(g[2]) + g[3]
	}},
	{regexp.MustCompile(`(\bcertificate is valid for )([\w.*:-]+(?:, [\w.*:-]+)*)(, not )([\w.:-]+\w)`), func(s *Scrubber, g []string) string {
		names := strings.Split(g[2], ", ")
		for i, name := range names {
			names[i] = s.host(name)
		}
		return g[1] + strings.Join(names, ", ") + g[3] + s.host(g[4])
	}},
	// Addresses of nodes, and of people.
	{regexp.MustCompile(`/(dns|dns4|dns6|dnsaddr|sni)/([^/\s"',\]]+)`), func(s *Scrubber, g []string) string {
		return "/" + g[1] + "/" + s.word("host", strings.ToLower(g[2]))
	}},
	{regexp.MustCompile(`[^\s"'<>=,;:()\[\]{}/\\]+(?:@|%40)[^\s"'<>=,;:()\[\]{}/\\]+`), func(s *Scrubber, g []string) string {
		if moduleVersion.MatchString(g[0]) {
			return g[0] // in the path of a source file
		}
		return s.word("mail", strings.ReplaceAll(g[0], "%40", "@"))
	}},
	{regexp.MustCompile(`(?i)[0-9a-f]*:[0-9a-f:]*:[0-9a-f.:]*`), (*Scrubber).address},
	{regexp.MustCompile(`\b\d{1,3}(?:\.\d{1,3}){3}\b`), (*Scrubber).address},
	// Peers, CIDs and hashes, in each base.
	{regexp.MustCompile(`\b(?:12D3Koo|16Uiu2)[1-9A-HJ-NP-Za-km-z]{30,}`), as("peer")},
	{regexp.MustCompile(`\bQm[1-9A-HJ-NP-Za-km-z]{44}\b`), as("cid")},
	{regexp.MustCompile(`\b(?:baf[a-z2-7]{8,}|b[a-z2-7]{40,}|B[A-Z2-7]{40,}|k[0-9a-z]{40,}|K[0-9A-Z]{40,}|z[1-9A-HJ-NP-Za-km-z]{40,})`), as("cid")},
	{regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), as("id")},
	{regexp.MustCompile(`(?i)\b(?:0x)?f?[0-9a-f]{24,}\b`), as("hex")},
	// What is long and random: invitations, and keys in base64.
	{regexp.MustCompile(`\b[A-Z2-7]{26}\b`), as("secret")},
	{regexp.MustCompile(`[\w+/-]{40,}=*`), (*Scrubber).random},
	// The operator's own name.
	{regexp.MustCompile(`(/home/|/Users/)([^/\s"']+)`), func(s *Scrubber, g []string) string { return g[1] + s.word("user", g[2]) }},
}

var moduleVersion = regexp.MustCompile(`@v\d+\.\d+\.\d+`)

// Text takes out of a text what must not be given away.
func (s *Scrubber) Text(text string) string {
	for _, k := range s.known {
		text = strings.ReplaceAll(text, k, s.word("account", k))
	}
	for _, r := range inOrder {
		text = r.pattern.ReplaceAllStringFunc(text, func(found string) string { return r.with(s, r.pattern.FindStringSubmatch(found)) })
	}
	if s.hosts != nil { // last: a name may be a part of a mail address
		text = s.hosts.ReplaceAllStringFunc(text, func(found string) string {
			g := s.hosts.FindStringSubmatch(found)
			return g[1] + s.word("host", strings.ToLower(g[2]))
		})
	}
	return text
}

// host keeps the names of this host alone.
func (s *Scrubber) host(at string) string {
	name, port := at, ""
	if i := strings.LastIndexByte(at, ':'); i >= 0 && !strings.HasSuffix(at, "]") {
		name, port = at[:i], at[i:]
	}
	bare := strings.Trim(name, "[]")
	if a, err := netip.ParseAddr(bare); bare == "localhost" || err == nil && isOurs(a) {
		return at
	}
	return s.word("host", strings.ToLower(name)) + port
}

// isOurs reports whether an address says nothing of anybody.
func isOurs(a netip.Addr) bool { return a.IsLoopback() || a.IsUnspecified() }

// address keeps what no other host has.
func (s *Scrubber) address(groups []string) string {
	a, err := netip.ParseAddr(strings.TrimRight(groups[0], ".:"))
	if err != nil && strings.HasSuffix(groups[0], "::") {
		a, err = netip.ParseAddr(groups[0])
	}
	switch {
	case err != nil || isOurs(a.Unmap()):
		return groups[0]
	case a.IsPrivate() || a.IsLinkLocalUnicast():
		return s.word("private-address", a.Unmap().String())
	}
	return s.word("address", a.Unmap().String())
}

// random keeps what has no mixture of letters and digits, such as the names of functions and paths.
func (s *Scrubber) random(groups []string) string {
	kinds := 0
	for _, set := range []string{"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz", "0123456789"} {
		if strings.ContainsAny(groups[0], set) {
			kinds++
		}
	}
	if kinds < 3 || strings.Count(groups[0], "/") > 3 {
		return groups[0]
	}
	return s.word("secret", groups[0])
}
