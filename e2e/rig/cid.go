package rig

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
)

// Codes of multicodec that the tests need.
const (
	CodecRaw     = 0x55
	CodecDagPB   = 0x70
	CodecDagCBOR = 0x71

	hashIdentity = 0x00
	hashSHA256   = 0x12
)

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// CID makes the CIDv1 of a block, by SHA2-256, in base32.
func CID(codec uint64, block []byte) string {
	sum := sha256.Sum256(block)
	return CIDOf(codec, hashSHA256, sum[:])
}

// IdentityCID makes the CIDv1 of a raw block that holds the block itself.
func IdentityCID(block []byte) string { return CIDOf(CodecRaw, hashIdentity, block) }

// CIDOf makes a CIDv1 from its parts. They may be codes that no program knows.
func CIDOf(codec, hash uint64, digest []byte) string {
	b := binary.AppendUvarint([]byte{1}, codec)
	b = binary.AppendUvarint(b, hash)
	b = binary.AppendUvarint(b, uint64(len(digest)))
	return "b" + lowerBase32.EncodeToString(append(b, digest...))
}

// WithCodec gives a CIDv1 in base32 another codec: the same bytes, read
// another way.
func WithCodec(cid string, codec uint64) (string, error) {
	b, err := lowerBase32.DecodeString(strings.TrimPrefix(cid, "b"))
	if err != nil || len(b) == 0 || b[0] != 1 {
		return "", fmt.Errorf("%q is no CIDv1 in base32", cid)
	}
	_, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return "", fmt.Errorf("%q has no codec", cid)
	}
	out := binary.AppendUvarint([]byte{1}, codec)
	return "b" + lowerBase32.EncodeToString(append(out, b[1+n:]...)), nil
}
