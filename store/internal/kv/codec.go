package kv

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// RecordVersion is the form of every record's value that is written now.
const RecordVersion = 1

// Codec is how records are encoded. Strings are what users sent, so that they
// may hold any bytes.
type Codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

func NewCodec() (Codec, error) {
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return Codec{}, fmt.Errorf("make record encoder: %w", err)
	}
	dec, err := cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid}.DecMode()
	if err != nil {
		return Codec{}, fmt.Errorf("make record decoder: %w", err)
	}
	return Codec{enc: enc, dec: dec}, nil
}

// Encode gives a record's value: the version, then CBOR.
func (c Codec) Encode(record any) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte(RecordVersion)
	if err := c.enc.NewEncoder(&b).Encode(record); err != nil {
		return nil, fmt.Errorf("encode %T: %w", record, err)
	}
	return b.Bytes(), nil
}

// Decode is the opposite of encode. Errors: diskerr.ErrUnreadable.
func (c Codec) Decode(value []byte, record any) error {
	if len(value) == 0 || value[0] != RecordVersion {
		return fmt.Errorf("decode %T: %w: not of version %d: %.8x", record, diskerr.ErrUnreadable, RecordVersion, value)
	}
	if err := c.dec.Unmarshal(value[1:], record); err != nil {
		return fmt.Errorf("decode %T: %w: %w", record, diskerr.ErrUnreadable, err)
	}
	return nil
}

// Put writes a record.
func (d *DB) Put(t *Tx, key []byte, record any) error {
	b, err := d.codec.Encode(record)
	if err == nil {
		t.Set(key, b)
	}
	return err
}

// Take reads a record. found is false, and the record as it was, if it is not
// there. Errors: diskerr.ErrUnreadable, and then found is true.
func (d *DB) Take(r *Reader, key []byte, record any) (found bool, err error) {
	b, found, err := r.Get(key)
	if err != nil {
		return errors.Is(err, diskerr.ErrUnreadable), err
	}
	if !found {
		return false, nil
	}
	if err := d.codec.Decode(b, record); err != nil {
		return true, fmt.Errorf("key %x: %w", key, err)
	}
	return true, nil
}
