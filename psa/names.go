package psa

import (
	"net/url"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// maxReference limits the bytes of a text that is searched for a CID. No CID is longer, and
// no path that people copy.
const maxReference = 4096

// reference is what people copy when they mean a CID.
type reference struct {
	what string // such as "a path"
	ipns bool
	name string // the CID, IPNS name or domain
	path string // below it, "" or from its slash on
}

// misnamed says what a text is that a client sent in place of a CID, and what to send
// instead. It is the rest of a sentence that begins with the text, or "" if the text looks
// like nothing known.
func misnamed(text string) string {
	if len(text) > maxReference {
		return ""
	}
	trimmed := strings.TrimSpace(text)
	switch c, err := pin.ParseCID(trimmed); {
	case err == nil && c.Type() == cid.Libp2pKey, isPeerID(trimmed):
		return "is an IPNS name or a peer ID, not the CID of content: if it is a name, `ipfs resolve -r " +
			command("/ipns/"+trimmed) + "` shows the CID that it points to now; send that"
	case err == nil && trimmed != text:
		return "is not a CID: it has white space around it, such as a line break; send " + trimmed
	case err == nil:
		return ""
	}
	r, ok := findReference(trimmed)
	if !ok {
		return ""
	}
	c, err := pin.ParseCID(r.name)
	switch {
	case r.ipns || err == nil && c.Type() == cid.Libp2pKey:
		return "is not a CID but " + r.what + " with a name, which may point to something else later: `ipfs resolve -r " +
			command("/ipns/"+r.name+r.path) + "` shows the CID of what is there now; send that"
	case err != nil:
		return "is not a CID but " + r.what + ": send the CID alone, without what is before and after it"
	case r.path != "":
		return "is not a CID but " + r.what + " below one: `ipfs resolve -r " + command("/ipfs/"+r.name+r.path) +
			"` shows the CID of what is there; send that"
	default:
		return "is not a CID but " + r.what + ": send the CID alone, " + r.name
	}
}

// findReference finds out what a text refers to. ok is false if it is neither a path, nor a
// URL, nor a domain.
func findReference(text string) (r reference, ok bool) {
	scheme, rest, isURL := strings.Cut(text, "://")
	scheme = strings.ToLower(scheme)
	switch {
	case isURL && (scheme == "ipfs" || scheme == "ipns"):
		r.name, r.path = cutName(rest)
		r.what, r.ipns = "an address", scheme == "ipns"
		return r, true
	case isURL:
		r.what = "a URL"
	default:
		r.what = "a path"
	}
	if _, below, found := strings.Cut(text, "/ipfs/"); found {
		r.name, r.path = cutName(below)
		return r, true
	}
	if _, below, found := strings.Cut(text, "/ipns/"); found {
		r.name, r.path = cutName(below)
		r.ipns = true
		return r, true
	}
	if !isURL {
		rest = text
	}
	host, path := cutName(rest)
	labels := strings.Split(host, ".")
	switch _, err := pin.ParseCID(host); {
	case err == nil:
		r.name, r.path = host, path
	case len(labels) > 2 && labels[1] == "ipfs":
		r.what, r.name, r.path = "a URL", labels[0], path
	case len(labels) > 2 && labels[1] == "ipns":
		r.what, r.name, r.path, r.ipns = "a URL", unlabelled(labels[0]), path, true
	case isURL:
	case isDomain(labels):
		r.what, r.name, r.path, r.ipns = "a domain", host, path, true
	case strings.HasPrefix(text, "/"):
	default:
		return reference{}, false
	}
	return r, true
}

// cutName splits NAME/path?query#fragment. The path is "" if nothing follows its slash.
func cutName(s string) (name, path string) {
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i]
	}
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return s[:i], strings.TrimRight(s[i:], "/")
	}
	return s, ""
}

// unlabelled returns the domain that a gateway writes as one label: example-com stands for
// example.com, and my--site-org for my-site.org. Other names have no hyphen, and stay as
// they are.
func unlabelled(label string) string {
	const kept = "\x00"
	s := strings.ReplaceAll(label, "--", kept)
	return strings.ReplaceAll(strings.ReplaceAll(s, "-", "."), kept, "-")
}

func isDomain(labels []string) bool {
	if len(labels) < 2 {
		return false
	}
	for _, l := range labels {
		if l == "" || strings.Trim(strings.ToLower(l), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	last := labels[len(labels)-1] // a number in an IP address
	return strings.Trim(last, "0123456789") != ""
}

// isPeerID reports whether a text is a peer ID that contains its key, such as 12D3KooW... A
// peer ID that is the hash of a key reads as a CIDv0, and is taken for one.
func isPeerID(text string) bool {
	if len(text) > 128 || !strings.HasPrefix(text, "1") {
		return false
	}
	_, err := multihash.FromB58String(text)
	return err == nil
}

// command returns a path as it can be put into a command that is shown. It returns PATH if
// the path is long, or a shell would read it differently.
func command(path string) string {
	if p, err := url.PathUnescape(path); err == nil {
		path = p
	}
	for _, r := range path {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./+=@:,", r) {
			return "PATH"
		}
	}
	if len(path) > 256 {
		return "PATH"
	}
	return path
}
