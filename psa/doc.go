// Package psa serves the IPFS Pinning Services API, version 1.0.0:
// https://ipfs.github.io/pinning-services-api-spec/. [Register] puts it under a
// base path of an Echo router; what it answers with comes from a [Service].
//
// # Where the spec is silent
//
// A body is JSON in UTF-8, at most 1 MiB. A member that is not known is
// ignored, an optional one that is null counts as left out, and one given
// twice is refused, since clients and servers disagree on which one counts.
//
// In GET /pins, cid and status may be comma lists, repeated, or both; any
// other known parameter may come once; unknown ones are ignored. A parameter
// with an empty value is refused, lest a script with an unset variable act on
// every pin, but for name, where it filters nothing, as search fields send it.
// A time may be finer than the millisecond that created is given in, and still
// compares exactly.
//
// # Requests that are sent again
//
// POST takes an Idempotency-Key, by draft-ietf-httpapi-idempotency-key-header-07. The draft
// would have a request refused with 409 that comes while the same is being handled. Here it
// waits, since 409 means INSUFFICIENT_FUNDS to the spec's clients, and since handling a
// request takes no longer than one commit. Then it is answered as any that is sent again.
// Refusals are not remembered: what was refused may be admitted the next time. If the pin is
// gone by then the answer is 410, since 202 would say that the content is kept.
//
// # Paths
//
// Paths may end in a slash, and may have one too many after the base path, as
// clients make it that join a base path which ends in a slash with "/pins".
//
// # Answers
//
// No field is added to the spec's objects, and optional ones that are empty
// are left out. Every error is a [Failure], made in errors.go and nowhere
// else, and carries the CORS headers, so that browsers can read it.
package psa
