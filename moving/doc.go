// Package moving brings pins from other places to a pinning service: from another service, a
// Kubo, an ipfs-cluster or a list.
//
// A [Source] lists pins, and [Run] makes a request for each at a [Target]. Then it follows
// the requests until they are pinned or have failed, and reports what became of every pin.
//
// # Where the blocks come from
//
// The target fetches them itself. Each pin comes with the addresses of the source's nodes as
// its origins, and a source that is a [Dialer] connects its node to the target's. With
// [Options].CARs the blocks come through this process instead: an [Exporter] gives the CAR of a
// pin, and an [Uploader] takes it together with the request.
//
// # Twice is the same as once
//
// Run first reads what the target has. It asks for no pin that is there already, in whatever
// state. So nothing needs to be kept between two runs: a run that was killed is gone on with
// by another, and a second one makes no second copy. Each request has an idempotency key that
// follows from the pin. So two runs at the same time, and a request whose answer was lost,
// make no second copy either, at a service that knows such keys.
//
// # What others send is not trusted
//
// Every answer and every entry of a list is bounded. A source that answers 429 or 5xx, or that
// cannot be reached for a while, is asked again, more slowly. A list that ends early is an
// error, and so is one that is shorter than the service itself says. What came until then is
// moved all the same.
package moving
