package pin

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// MaxOrigins is how many addresses the origins of a pin have at most, as the PSA has
	// it for answers.
	MaxOrigins = 20
	// MaxOrigin bounds the bytes of an address before it is decoded, which takes time
	// quadratic in the length of a peer ID. A DNS name has at most 253 bytes, a peer ID and
	// each of two certificate hashes under 100.
	MaxOrigin = 1024
	// maxShownOrigin is how many bytes of an origin that is not used are shown.
	maxShownOrigin = 256
)

// InfoOriginsIgnored is the member of [View].Info that names the origins that are not used,
// and says why.
const InfoOriginsIgnored = "origins_ignored"

// BestOrigins chooses among the origins that a client gave those that a pin keeps, at most
// [MaxOrigins] addresses: without repetitions, from as many peers as there are, and of each
// peer public addresses before private ones, of all its transports. Addresses at from, where
// the request surely came from, are before these; zero is not known. They keep
// the order in which they were given. A /dnsaddr name and the address of a gateway need no
// peer ID, and are each like a peer of its own. Behind them come other multiaddrs without a peer ID, as long as there is
// room, and then at most [MaxOrigins] that are no multiaddrs, so that [View].Info can name
// them. None is an error: they are hints. Nil is none.
func BestOrigins(given []string, from netip.Addr) []string {
	var usable []candidate
	var nameless, unreadable []string
	seen := make(map[string]struct{}, len(given))
	isNew := func(key string) bool {
		_, known := seen[key]
		seen[key] = struct{}{}
		return !known
	}
	for _, o := range given {
		o = cutOrigin(o)
		if !isNew(o) {
			continue
		}
		addr, err := readOrigin(o)
		switch {
		case err != nil:
			if len(unreadable) < MaxOrigins {
				unreadable = append(unreadable, o)
			}
		case !isNew("\x00" + string(addr.Bytes())): // the same, written otherwise
		case isNameless(addr):
			nameless = append(nameless, o)
		default:
			usable = append(usable, newCandidate(o, len(usable), addr, from))
		}
	}
	var kept []string
	for _, c := range best(usable) {
		kept = append(kept, c.text)
	}
	room := min(MaxOrigins-len(kept), len(nameless))
	return slices.Concat(kept, nameless[:room], unreadable)
}

// RequesterOf gives from, where a request surely came from, if one of its origins is there;
// else zero.
func RequesterOf(origins []string, from netip.Addr) netip.Addr {
	for _, o := range origins {
		if addr, err := readOrigin(o); err == nil && isAt(addr, from) {
			return from
		}
	}
	return netip.Addr{}
}

// isAt reports whether an address is at an IP address.
func isAt(addr multiaddr.Multiaddr, ip netip.Addr) bool {
	at, err := manet.ToIP(addr)
	if err != nil {
		return false
	}
	has, ok := netip.AddrFromSlice(at)
	return ok && has.Unmap() == ip.Unmap()
}

// Addresses are the origins of a spec that are multiaddrs.
func (s Spec) Addresses() []string {
	n := len(s.Origins)
	for n > 0 { // those that are none come last
		if _, err := readOrigin(s.Origins[n-1]); err == nil {
			break
		}
		n--
	}
	if n == 0 {
		return nil
	}
	return s.Origins[:n]
}

// ignoredOrigins is a sentence on the origins that are not used; "" if there are none.
func ignoredOrigins(origins []string) string {
	var why []string
	for _, o := range slices.Backward(origins) { // the usable ones come first
		addr, err := readOrigin(o)
		if err == nil && isNameless(addr) {
			err = errNoPeer
		}
		if err == nil {
			break
		}
		why = append(why, shownOrigin(o)+": "+err.Error())
	}
	slices.Reverse(why)
	return strings.Join(why, "; ")
}

var errNoPeer = errors.New("it does not end in /p2p/ and a peer ID")

// readOrigin reads a multiaddr. Its errors say what is wrong, without the text.
func readOrigin(o string) (multiaddr.Multiaddr, error) {
	switch {
	case o == "":
		return nil, errors.New("it is empty")
	case len(o) > MaxOrigin:
		return nil, fmt.Errorf("it is longer than %d bytes", MaxOrigin)
	}
	addr, err := multiaddr.NewMultiaddr(o)
	if err != nil {
		text := err.Error()
		for _, prefix := range []string{"failed to parse multiaddr ", "failed to validate multiaddr "} {
			text = strings.TrimPrefix(text, prefix+strconv.Quote(o)+": ")
		}
		text = strings.Map(func(r rune) rune { // it has parts of what the client sent
			if !unicode.IsPrint(r) {
				return utf8.RuneError
			}
			return r
		}, text)
		return nil, fmt.Errorf("it is not a multiaddr that is known here: %.200s", text)
	}
	return addr, nil
}

// cutOrigin shortens an origin that is too long to be read, so that it still is.
func cutOrigin(o string) string {
	if len(o) <= MaxOrigin+utf8.UTFMax {
		return o
	}
	end := MaxOrigin + utf8.UTFMax
	for end > MaxOrigin+1 && !utf8.RuneStart(o[end]) {
		end--
	}
	return o[:end]
}

// shownOrigin gives an origin as it can stand in a sentence.
func shownOrigin(o string) string {
	if len(o) > maxShownOrigin {
		return strconv.Quote(o[:maxShownOrigin]) + "..."
	}
	if quoted := strconv.Quote(o); o == "" || strings.ContainsAny(o, " ;") || quoted != `"`+o+`"` {
		return quoted
	}
	return o
}

// peerIn is the peer ID that an address ends in, "" if it does not end in one.
func peerIn(addr multiaddr.Multiaddr) string {
	_, last := multiaddr.SplitLast(addr)
	if last == nil || last.Protocol().Code != multiaddr.P_P2P {
		return ""
	}
	return last.Value()
}

// isNameless reports whether an address does not say whose it is, and no look-up does.
func isNameless(addr multiaddr.Multiaddr) bool {
	return peerIn(addr) == "" && !isDNSAddr(addr) && !isHTTP(addr)
}

// isDNSAddr reports whether an address is a name alone, at which there is a list of
// addresses.
func isDNSAddr(addr multiaddr.Multiaddr) bool {
	return len(addr) == 1 && addr[0].Protocol().Code == multiaddr.P_DNSADDR
}

// isHTTP reports whether an address is that of a gateway, which is known by its address.
func isHTTP(addr multiaddr.Multiaddr) bool {
	return slices.ContainsFunc(addr, func(c multiaddr.Component) bool {
		return c.Protocol().Code == multiaddr.P_HTTP || c.Protocol().Code == multiaddr.P_HTTPS
	})
}

// candidate is an origin that can be used.
type candidate struct {
	text  string
	place int // in what was given
	peer  string
	reach int // how likely it can be dialled from here: the lower, the likelier
	kind  int // by transport and IP version, the newest first
	nth   int // of the same peer, reach and kind
	turn  int // among those of its peer, the best first
}

func newCandidate(text string, place int, addr multiaddr.Multiaddr, from netip.Addr) candidate {
	c := candidate{text: text, place: place, peer: peerIn(addr), reach: reachOf(addr), kind: kindOf(addr)}
	if c.peer == "" {
		c.peer = addr.String()
	}
	if isAt(addr, from) {
		c.reach = -1
	}
	return c
}

func reachOf(addr multiaddr.Multiaddr) int {
	switch {
	case addr[0].Protocol().Code == multiaddr.P_P2P && len(addr) == 1: // only a peer ID
		return 3
	case manet.IsPublicAddr(addr):
		return 0
	case manet.IsIPLoopback(addr):
		return 2
	}
	return 1
}

func kindOf(addr multiaddr.Multiaddr) int {
	has := make(map[int]bool)
	for _, c := range addr {
		has[c.Protocol().Code] = true
	}
	version := 0
	if has[multiaddr.P_IP6] || has[multiaddr.P_DNS6] {
		version = 1
	}
	transport := 7
	switch {
	case has[multiaddr.P_CIRCUIT]: // by a relay, which limits what it carries
		transport = 5
	case has[multiaddr.P_WEBTRANSPORT]:
		transport = 1
	case has[multiaddr.P_QUIC_V1]:
		transport = 0
	case has[multiaddr.P_WEBRTC_DIRECT]:
		transport = 4
	case has[multiaddr.P_WS], has[multiaddr.P_WSS]:
		transport = 3
	case has[multiaddr.P_TCP], has[multiaddr.P_DNSADDR]:
		transport = 2
	case has[multiaddr.P_QUIC]: // of a draft that nobody speaks any more
		transport = 6
	}
	return 2*transport + version
}

// best chooses at most MaxOrigins, as [BestOrigins] says, and sorts them by place.
func best(all []candidate) []candidate {
	if len(all) <= MaxOrigins {
		return all
	}
	type group struct {
		peer        string
		reach, kind int
	}
	count := make(map[group]int)
	for i, c := range all {
		g := group{c.peer, c.reach, c.kind}
		all[i].nth = count[g]
		count[g]++
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.peer, b.peer), cmp.Compare(a.reach, b.reach),
			cmp.Compare(a.nth, b.nth), cmp.Compare(a.kind, b.kind), cmp.Compare(a.place, b.place))
	})
	for i := 1; i < len(all); i++ {
		if all[i].peer == all[i-1].peer {
			all[i].turn = all[i-1].turn + 1
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.turn, b.turn), cmp.Compare(a.reach, b.reach), cmp.Compare(a.place, b.place))
	})
	all = all[:MaxOrigins]
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(a.place, b.place) })
	return all
}
