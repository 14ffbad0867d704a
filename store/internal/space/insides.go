package space

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
)

// knownBadger is the version of Badger whose inside is known here.
const knownBadger = "v4.9.6"

// CheckVersion compares the Badger that is built in with the one whose inside is known. A build that
// does not say which it has passes: [Open] looks itself. Errors: errUnknownBadger.
func CheckVersion(info *debug.BuildInfo) error {
	for _, m := range info.Deps {
		if m.Path != badgerModule {
			continue
		}
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Version != knownBadger {
			return fmt.Errorf("%w: %s", errUnknownBadger, m.Version)
		}
	}
	return nil
}

const badgerModule = "github.com/dgraph-io/badger/v4"

// errUnknownBadger: holdfast was built with another Badger than the one whose inside it knows. It
// could serve, but would fail at the first reclaim, so the database does not open.
var errUnknownBadger = errors.New("holdfast knows the inside of Badger " + knownBadger + ", and was built with another")

// insides is what we use of Badger and its interface does not have. It is found when the database
// is opened.
type insides struct {
	discards *discards
	places   valuePlaces
	endOfLog func() int64 // where the written part of the newest file of the value log ends
}

// findInsides finds all that we use of Badger's inside. Errors: errUnknownBadger.
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

// valuePlace is where a key's value is in a file of the value log.
type valuePlace struct {
	key         []byte
	length, off int64
}

// valuePlaces finds the places of values. It has the fields of an item that have them.
type valuePlaces struct{ meta, pointer int }

// placesOf finds these fields in the type of items. Errors: errUnknownBadger.
func placesOf(item reflect.Type) (p valuePlaces, err error) {
	meta, ok := item.FieldByName("meta")
	pointer, ok2 := item.FieldByName("vptr")
	if !ok || !ok2 || meta.Type.Kind() != reflect.Uint8 || pointer.Type != reflect.TypeFor[[]byte]() {
		return p, fmt.Errorf("%w: items have the places of their values elsewhere", errUnknownBadger)
	}
	return valuePlaces{meta.Index[0], pointer.Index[0]}, nil
}

// in gives the place of an item's value, if that is in a file.
func (p valuePlaces) in(file uint32, item *badger.Item) (at valuePlace, ok bool) {
	in, at, ok := p.of(item)
	return at, ok && in == file
}

// of gives the file and the place of an item's value. ok is false if it is not in the value log.
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

// endOfLog finds where Badger keeps the end of the written part of the newest file of the value
// log. Errors: errUnknownBadger.
func endOfLog(db any) (func() int64, error) {
	unknown := fmt.Errorf("%w: the end of its value log is elsewhere", errUnknownBadger)
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
