// Package links finds what a block links to. All that follows links does so by [Of]: the
// walk that brings a DAG here, and what announces it.
//
// # Lenient
//
// A block is pinned for its links, so it is refused only if these cannot be known for
// sure: it is cut off, is under a codec that it is not of, or has something for a link
// that is no CID. Whether its form is the one that today's writers give it does not
// matter. JavaScript and older versions of Go wrote blocks that today's libraries
// refuse, and these exist. docs/codecs.md has what is accepted, beside Kubo.
//
// # Own readers
//
// CBOR is read by a scanner of our own, in [cborScanner]. go-ipld-prime's decoder builds
// all of a block in memory to find a few links, and refuses integers beyond 64 bits, more
// than 1,024 levels, indefinite lengths, and keys that are not text. cbor-gen's
// ScanForLinks refuses all forms that are not canonical, and fxamacker/cbor has no way
// to read item by item. Git's objects are also read here, since go-ipld-git refuses
// commits that were signed by an SSH key, splits lines at 4,096 bytes, and writes lines
// that it does not know to standard output. dag-pb and dag-json are go-codec-dagpb's and
// go-ipld-prime's, as in Kubo. Of dag-json the links alone are kept, by [linkCollector], so a key
// that is there twice is not noticed.
package links
