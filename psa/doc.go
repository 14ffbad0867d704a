// Package psa serves the IPFS Pinning Services API, version 1.0.0:
// https://ipfs.github.io/pinning-services-api-spec/. [Register] puts it under a
// base path of an Echo router. A [Service] does the work.
//
// # Where the spec is silent
//
// A body is JSON in UTF-8, at most 1 MiB. An unknown member is ignored. An optional member
// that is null counts as left out. A member that is given twice is refused, since clients
// and servers disagree on which one counts.
//
// In GET /pins, cid and status may be comma lists, repeated, or both. Any other known
// parameter may come once. Clients write lists and maps in brackets too, which params.go
// reads. A parameter that looks like a filter and is none is refused; other unknown ones are
// ignored. A parameter with an empty value is refused, so that a script with an unset
// variable does not act on every pin. An empty name is the exception: it filters nothing, as
// search fields send it. A time may be finer than the milliseconds of created, and still
// compares exactly.
//
// # Requests that are sent again
//
// POST takes an Idempotency-Key, by draft-ietf-httpapi-idempotency-key-header-07. The draft
// would have a request refused with 409 that comes while the same is being handled. Here it
// waits, since 409 means INSUFFICIENT_FUNDS to the spec's clients, and since handling a
// request takes no longer than one commit. Then it is answered as any that is sent again.
// Other origins do not make another request, since the addresses of a client may change
// before it sends its request again. Refusals are not remembered: what was refused may be admitted the next time. If the pin is
// gone by then the answer is 410, since 202 would say that the content is kept.
//
// # Paths
//
// Paths may end in a slash. They may also have one slash too many after the base path, as
// some clients join a base path that ends in a slash with "/pins".
//
// # Answers
//
// No field is added to the spec's objects, and optional fields that are empty are left out.
// Every error is a [Failure], made in errors.go and nowhere else. It carries the CORS
// headers, so that pages can read it.
package psa
