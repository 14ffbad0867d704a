package space

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
)

// knownBadger is the version of Badger whose insides are known here.
const knownBadger = "v4.9.6"

// ErrUnknownBadger: holdfast was built with a Badger whose insides are not those that it
// knows. It could serve, and would fail at its first reclaim: so it does not open.
var ErrUnknownBadger = errors.New("this is not the Badger that holdfast knows the insides of, which is " + knownBadger)

// insides is what is known of the inside of the Badger that is open, and that Badger's
// interface does not tell. It is looked for when the database is opened.
type insides struct {
	discards *discards
	places   valuePlaces
	endOfLog func() int64 // how far the newest file of the value log is written
}

// findInsides looks for all that is used of Badger's inside. Errors: ErrUnknownBadger.
func findInsides(db *badger.DB) (in insides, err error) {
	if in.discards, err = discardsOf(db); err != nil {
		return in, err
	}
	if in.endOfLog, err = endOfLog(db); err != nil {
		return in, err
	}
	in.places, err = placesOf(reflect.TypeFor[badger.Item]())
	return in, err
}

// valuePlace is where in the value log the value of a key is.
type valuePlace struct {
	key         []byte
	length, off int64
}

// valuePlaces tells where values are, which Badger's interface does not.
type valuePlaces struct{ meta, pointer int }

// placesOf finds out where a type of items has them. Errors: ErrUnknownBadger.
func placesOf(item reflect.Type) (p valuePlaces, err error) {
	meta, ok := item.FieldByName("meta")
	pointer, ok2 := item.FieldByName("vptr")
	if !ok || !ok2 || meta.Type.Kind() != reflect.Uint8 || pointer.Type != reflect.TypeFor[[]byte]() {
		return p, fmt.Errorf("%w: where it has its values is not told as there", ErrUnknownBadger)
	}
	return valuePlaces{meta.Index[0], pointer.Index[0]}, nil
}

// in gives where the value of an item is, if it is in that file.
func (p valuePlaces) in(file uint32, item *badger.Item) (at valuePlace, ok bool) {
	in, at, ok := p.of(item)
	return at, ok && in == file
}

// of gives in which file the value of an item is, and where, if it is in the value log.
func (p valuePlaces) of(item *badger.Item) (file uint32, at valuePlace, ok bool) {
	const inLog = 1 << 1
	v := reflect.ValueOf(item).Elem()
	b := v.Field(p.pointer).Bytes()
	if v.Field(p.meta).Uint()&inLog == 0 || len(b) != 12 {
		return 0, at, false
	}
	return binary.NativeEndian.Uint32(b), valuePlace{
		key:    item.KeyCopy(nil),
		length: int64(binary.NativeEndian.Uint32(b[4:])),
		off:    int64(binary.NativeEndian.Uint32(b[8:])),
	}, true
}

// endOfLog finds where Badger has how far the newest file of the value log is written. Errors:
// ErrUnknownBadger.
func endOfLog(db any) (func() int64, error) {
	unknown := fmt.Errorf("%w: how far its value log is written is not where that has it", ErrUnknownBadger)
	log := reflect.ValueOf(db).Elem().FieldByName("vlog")
	if !log.IsValid() || log.Kind() != reflect.Struct {
		return nil, unknown
	}
	end := log.FieldByName("writableLogOffset")
	if !end.IsValid() || end.Type() != reflect.TypeFor[atomic.Uint32]() {
		return nil, unknown
	}
	at := (*atomic.Uint32)(end.Addr().UnsafePointer())
	return func() int64 { return int64(at.Load()) }, nil
}
