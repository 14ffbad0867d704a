// Package guard decides which addresses a server may connect to if somebody else named them:
// in the origins of a pin, in provider records of a DHT, in what peers say of other peers,
// as host names of HTTP providers and in their redirects.
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
//   - HTTP goes through [Guard.Transport]. Its sockets ask when they have an address
//     and are about to connect ([Guard.Control]). So neither what a name resolved to
//     a moment earlier counts, nor the way that led there.
//   - [Guard.Hint] and [Guard.Filter] judge addresses before anything is done with
//     them, so that addresses that may not be dialled are not even kept.
//
// # What is refused
//
// Everything but the addresses that the internet routes to one place; in IPv6 these are in
// 2000::/3. Addresses that a translator on the way would turn into an IPv4 address (NAT64,
// 6to4, Teredo and similar) are all refused: only the network knows whether there is such a
// translator and what it reaches. An IPv6 address that is only another way to write an IPv4
// address (::ffff:192.0.2.1) is judged as that IPv4 address.
//
// The addresses of this machine's own interfaces ([Own]) are refused too, even if they are
// public: what listens there may be meant for the machine alone, and no firewall protects it
// from the machine itself.
//
// # What is allowed all the same
//
// [Guard.Requester] lets one address pass that is refused otherwise: that of the machine
// which asks for content that it has itself. It can show nobody anything but its own
// machine. [Grants] keep that to the peer and the port that the request names.
//
// The guard is about connections that this side opens. Connections that come in are welcome
// from anywhere.
package guard
