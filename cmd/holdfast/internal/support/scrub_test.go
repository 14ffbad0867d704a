package support

import (
	"regexp"
	"strings"
	"testing"
)

// What must not be given away is gone, in whatever it stands.
func TestScrubberTakesOut(t *testing.T) {
	const cid = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
	for _, c := range []struct{ text, private string }{
		{`msg="refused a login" user=ann@example.org client=192.0.2.7`, "ann@example.org"},
		{`msg="refused a login" user=ann@example.org client=192.0.2.7`, "192.0.2.7"},
		{`{"msg":"x","err":"for ann.o'neil+pins@example.org: no"}`, "+pins@example.org"},
		{`GET /api/x?email=ann%40example.org&n=1`, "ann%40example.org"},
		{`from ünï@exämple.org`, "ünï@exämple.org"},
		{`dial /ip4/192.0.2.7/tcp/4001/p2p/12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf`, "192.0.2.7"},
		{`dial /ip4/192.0.2.7/tcp/4001/p2p/12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf`, "12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf"},
		{`dial /ip6/2001:db8::7/udp/4001/quic-v1`, "2001:db8::7"},
		{`listen tcp [2001:db8::7]:5050: bind`, "2001:db8::7"},
		{`from 10.1.2.3:4567`, "10.1.2.3"},
		{`::ffff:192.0.2.7 said`, "192.0.2.7"},
		{`/dns4/home.ann.example/tcp/4001`, "home.ann.example"},
		{`url=https://ann:pa55word@gateway.example.net:8443/ipfs/x?token=abcdefgh`, "pa55word"},
		{`url=https://ann:pa55word@gateway.example.net:8443/ipfs/x?token=abcdefgh`, "gateway.example.net"},
		{`url=https://ann:pa55word@gateway.example.net:8443/ipfs/x?token=abcdefgh`, "abcdefgh"},
		{`Authorization: Bearer abc.def-ghi`, "abc.def-ghi"},
		{`token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl`, "c2lnbmF0dXJl"},
		{`and eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl here`, "eyJzdWIiOiJ4In0"},
		{"x -----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY----- y", "MIIabc"},
		{"AGE-SECRET-KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", "QQPZRY9X8GF2"},
		{`{"password":"Xq7 horse \"battery\" staple"}`, "horse"},
		{`an error: {\"password\":\"horse battery\"}`, "horse"},
		{`invite ABCDEFGHIJKLMNOPQRSTUVWX27 was used`, "ABCDEFGHIJKLMNOPQRSTUVWX27"},
		{`cid=` + cid, cid},
		{`GET /ipfs/` + cid + `/a`, cid},
		{`QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG: no`, "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG"},
		{`f01551220aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899`, "aabbccddeeff"},
		{`account=0190b1e2-1111-7222-8333-444455556666`, "444455556666"},
		{`of 0190b1e2-1111-7222-8333-444455556666`, "444455556666"},
		{`name="holiday pictures of ann"`, "holiday"},
		{`{"name":"holiday pictures","x":1}`, "holiday"},
		{`open /home/ann/.local/share/holdfast: no`, "/home/ann"},
		{`key 9gR3vYx0QmWn7uH2kLpB5sT8dF4jC6zA1eVbXcMqKwE=`, "9gR3vYx0QmWn7uH2kLp"},
		{`the tenant-seven account`, "tenant-seven"},
		{`dial tcp: lookup home.ann.example on 127.0.0.53:53: no such host`, "ann"},
		{`dial tcp: lookup home.ann.example: no such host`, "ann"},
		{`lookup _dnsaddr.home.ann.example. on 127.0.0.53:53: server misbehaving`, "ann"},
		{`lookup annbox on 127.0.0.53:53: no such host`, "annbox"},
		{`x509: certificate is valid for *.ann.example, www.example.net, not gw.bob.example"`, "ann"},
		{`x509: certificate is valid for *.ann.example, www.example.net, not gw.bob.example"`, "bob"},
	} {
		got := NewScrubber("tenant-seven").Text(c.text)
		if strings.Contains(got, c.private) {
			t.Errorf("%s is still in %s", c.private, got)
		}
	}
}

// Names of hosts are gone where they stand alone, with the same word as in a URL.
func TestScrubberTakesOutHosts(t *testing.T) {
	s := NewScrubber()
	s.Hosts("pins.ann.example", "*.gw.ann.example:8443", "ann-copies", "annbox", "holdfast", "127.0.0.1", "pi", "")
	got := s.Text(`lookup pins.ann.example: no such host; ["PINS.ann.example","x.gw.ann.example"] bucket ann-copies: no; ` +
		`https://pins.ann.example/ipfs host=cluster.ann.example "host":"other.ann.example" annbox holdfast[1]: mannbox at 127.0.0.1 pi by bob@pins.ann.example`)
	for _, private := range []string{"pins.ann", "PINS.ann", "gw.ann", "ann-copies", " annbox", "cluster.ann", "other.ann", "bob"} {
		if strings.Contains(got, private) {
			t.Errorf("%s is still in %s", private, got)
		}
	}
	for _, kept := range []string{"no such host", "holdfast[1]: mannbox at 127.0.0.1 pi by "} {
		if !strings.Contains(got, kept) {
			t.Errorf("%s is not in %s", kept, got)
		}
	}
	if word := s.word("host", "pins.ann.example"); strings.Count(got, word) != 3 {
		t.Errorf("%s is not there three times: %s", word, got)
	}
}

// What helps to find a fault stays.
func TestScrubberKeeps(t *testing.T) {
	for _, text := range []string{
		`time=2030-01-02T12:34:56.789Z level=WARN msg="not ready" why="the disk is too full" err="10 bytes are free"`,
		`time=2030-01-02T12:34:56.789+01:00 level=INFO msg=stopped`,
		`http.listen = 127.0.0.1:5050, and [::1]:5050 or 0.0.0.0:4040 or [::]:4040`,
		`/ip4/127.0.0.1/tcp/4040 and /ip6/::/udp/4040/quic-v1`,
		`http://127.0.0.1:5050/api/psa/ and http://localhost:5052/metrics`,
		"goroutine 12 [select, 3 minutes]:\ngithub.com/libp2p/go-libp2p/p2p/net/swarm.(*Swarm).dialWorkerLoop(0xc000123456, 0xc0007890ab)\n" +
			"\t/root/go/pkg/mod/github.com/libp2p/go-libp2p@v0.48.0/p2p/net/swarm/swarm_dial.go:312 +0x1d4",
		`holdfast_pins{status="pinned"} 12`,
		`db/000017.vlog 134217728 2030-01-02 12:34`,
		`devel-574df00abcde (go1.26.0, linux/amd64, commit 574df00abcde)`,
		`err="provider lookup failed: nobody answers"`,
		`host=127.0.0.1:5050 {"host":"localhost"} of this host: 4 processors`,
	} {
		if got := NewScrubber().Text(text); got != text {
			t.Errorf("%s\nbecomes\n%s", text, got)
		}
	}
}

// The same thing has the same word in one bundle, and another in the next.
func TestScrubbedWords(t *testing.T) {
	const text = "192.0.2.7 then 192.0.2.8 then ::ffff:192.0.2.7"
	words := func() []string {
		return regexp.MustCompile(`\([a-z-]+-[0-9a-f]{8}\)`).FindAllString(NewScrubber().Text(text), -1)
	}
	one, two := words(), words()
	if len(one) != 3 || one[0] != one[2] || one[0] == one[1] {
		t.Errorf("the words are %q", one)
	}
	if len(two) == 3 && one[0] == two[0] {
		t.Errorf("two bundles have the same word, %s", one[0])
	}
}
