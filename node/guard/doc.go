// Package guard decides which addresses a server may connect to when it was
// somebody else who named them: the origins of a pin, the provider records of
// a DHT, what peers tell of other peers, the host names of HTTP providers and
// where these redirect to.
//
// A server on the internet stands in networks that the internet cannot reach:
// loopback, the LAN, the metadata service of its cloud. Whoever can make it
// connect to an address of their choice can look around in there through its
// eyes. Dialling private addresses that strangers announce is also what makes
// hosting companies take a node for a port scanner.
//
// # One decision
//
// [Guard.Addr] is the decision, about an IP address, from one table of ranges.
// Everything else asks it:
//
//   - libp2p's connection gater asks [Guard.Dial] for each address about to be
//     dialled, after names have been resolved.
//   - HTTP goes through [Guard.Transport], whose sockets ask when they have an
//     address and are about to connect ([Guard.Control]). What a name resolved
//     to an instant earlier does not matter, nor does the way that led to it.
//   - [Guard.Hint] and [Guard.Filter] look at addresses before anything is
//     done with them, so that what could not be dialled is not even kept.
//
// # What is refused
//
// Everything but the addresses that the internet routes to one place: of IPv6
// that is what lies in 2000::/3. Addresses that a translator on the way would
// turn into an IPv4 address (NAT64, 6to4, Teredo and their like) are refused
// as such, whatever they would be turned into: whether there is such a
// translator, and what it reaches, is known to the network and not to us. An
// IPv6 address that only writes an IPv4 address in another way
// (::ffff:192.0.2.1) is that IPv4 address, and is judged as it.
//
// The addresses of this machine's own interfaces ([Own]) are refused too, public as
// they may be: what listens there may be for the machine alone, and no firewall is
// between.
//
// # What is allowed all the same
//
// [Guard.Requester] lets one address pass that is refused otherwise: that of the machine
// which asks for content that it has itself. It can show nobody anything but its own
// machine. [Grants] keep that to the peer and the port that the request names.
//
// The guard is about connections that this side opens. Those that come in are
// welcome from anywhere.
package guard
