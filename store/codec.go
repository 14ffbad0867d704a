package store

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/holdfast-ipfs/holdfast/internal/fault"

	"github.com/fxamacker/cbor/v2"
)

// recordVersion is the form of every record's value that is written now.
const recordVersion = 1

// codec is how records are encoded. Strings are what users sent, so that they
// may hold any bytes.
type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

func newCodec() (codec, error) {
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return codec{}, fmt.Errorf("make record encoder: %w", err)
	}
	dec, err := cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid}.DecMode()
	if err != nil {
		return codec{}, fmt.Errorf("make record decoder: %w", err)
	}
	return codec{enc: enc, dec: dec}, nil
}

// encode gives a record's value: the version, then CBOR.
func (c codec) encode(record any) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte(recordVersion)
	if err := c.enc.NewEncoder(&b).Encode(record); err != nil {
		return nil, fmt.Errorf("encode %T: %w", record, err)
	}
	return b.Bytes(), nil
}

// decode is the opposite of encode. Errors: fault.ErrUnreadable.
func (c codec) decode(value []byte, record any) error {
	if len(value) == 0 || value[0] != recordVersion {
		return fmt.Errorf("decode %T: %w: not of version %d: %.8x", record, fault.ErrUnreadable, recordVersion, value)
	}
	if err := c.dec.Unmarshal(value[1:], record); err != nil {
		return fmt.Errorf("decode %T: %w: %w", record, fault.ErrUnreadable, err)
	}
	return nil
}

// put writes a record.
func (s *Store) put(t *tx, key []byte, record any) error {
	b, err := s.codec.encode(record)
	if err == nil {
		t.set(key, b)
	}
	return err
}

// take reads a record. found is false, and the record as it was, if it is not
// there. Errors: fault.ErrUnreadable, and then found is true.
func (s *Store) take(r *reader, key []byte, record any) (found bool, err error) {
	b, found, err := r.get(key)
	if err != nil {
		return errors.Is(err, fault.ErrUnreadable), err
	}
	if !found {
		return false, nil
	}
	if err := s.codec.decode(b, record); err != nil {
		return true, fmt.Errorf("key %x: %w", key, err)
	}
	return true, nil
}
