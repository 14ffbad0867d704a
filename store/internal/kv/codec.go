package kv

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// RecordVersion is the version byte of every record that is written now.
const RecordVersion = 1

// How records are encoded. Strings are what users sent, so they may hold any bytes.
var (
	encoding = constant(cbor.CoreDetEncOptions().EncMode())
	decoding = constant(cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid}.DecMode())
)

// constant is for options that are constant, and so never wrong.
func constant[M any](mode M, err error) M {
	if err != nil {
		panic(err)
	}
	return mode
}

// Encode encodes a record: the version, then CBOR.
func Encode(record any) ([]byte, error) {
	b := bytes.NewBuffer([]byte{RecordVersion})
	if err := encoding.NewEncoder(b).Encode(record); err != nil {
		return nil, fmt.Errorf("encode %T: %w", record, err)
	}
	return b.Bytes(), nil
}

// Decode decodes what Encode made. Errors: diskerr.ErrUnreadable.
func Decode(value []byte, record any) error {
	if len(value) == 0 || value[0] != RecordVersion {
		return fmt.Errorf("decode %T: %w: not of version %d: %.8x", record, diskerr.ErrUnreadable, RecordVersion, value)
	}
	if err := decoding.Unmarshal(value[1:], record); err != nil {
		return fmt.Errorf("decode %T: %w: %w", record, diskerr.ErrUnreadable, err)
	}
	return nil
}

// Put writes a record.
func (t *Tx) Put(key []byte, record any) error {
	b, err := Encode(record)
	if err == nil {
		t.Set(key, b)
	}
	return err
}

// Take reads a record. If the key is not there, found is false and record is left as it was.
// Errors: diskerr.ErrUnreadable, with found true.
func (r *Reader) Take(key []byte, record any) (found bool, err error) {
	b, found, err := r.Get(key)
	if err != nil {
		return errors.Is(err, diskerr.ErrUnreadable), err
	}
	if !found {
		return false, nil
	}
	if err := Decode(b, record); err != nil {
		return true, fmt.Errorf("key %x: %w", key, err)
	}
	return true, nil
}
