package space

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"sync"
)

// discards is Badger's table of how many bytes are dead in each file of the value log. Badger
// collects the file with the most. Its interface neither says which that is, nor lets us choose.
// We must check a file before it is collected, so we read and write the table in place, under
// Badger's own lock.
type discards struct {
	mu    *sync.Mutex
	table reflect.Value
}

// discardSlot is the length of a slot of the table: the number of a file, and how many bytes are
// dead in it. After the last slot there is a number 0.
const discardSlot = 16

// discardLead is by how much a file is put before all others: more than any file has, so that a
// compaction meanwhile does not change the order.
const discardLead = 1 << 32

// discardsOf finds the table in a Badger database. Errors: errUnknownBadger.
func discardsOf(db any) (*discards, error) {
	unknown := fmt.Errorf("%w: the table of what is dead in its files is elsewhere", errUnknownBadger)
	log := reflect.ValueOf(db).Elem().FieldByName("vlog")
	if !log.IsValid() || log.Kind() != reflect.Struct {
		return nil, unknown
	}
	table := log.FieldByName("discardStats")
	if !table.IsValid() || table.Kind() != reflect.Pointer || table.IsNil() {
		return nil, unknown
	}
	table = table.Elem()
	if table.Kind() != reflect.Struct || table.NumField() == 0 || table.Type().Field(0).Type != reflect.TypeFor[sync.Mutex]() {
		return nil, unknown
	}
	file := table.FieldByName("MmapFile")
	if !file.IsValid() || file.Kind() != reflect.Pointer || file.IsNil() {
		return nil, unknown
	}
	data := file.Elem().FieldByName("Data")
	if !data.IsValid() || data.Type() != reflect.TypeFor[[]byte]() {
		return nil, unknown
	}
	return &discards{mu: (*sync.Mutex)(table.Addr().UnsafePointer()), table: file.Elem()}, nil
}

// each calls fn for each slot. The lock must be held.
func (d *discards) each(fn func(file uint32, dead []byte)) {
	data := d.table.FieldByName("Data").Bytes()
	for ; len(data) >= discardSlot; data = data[discardSlot:] {
		file := binary.BigEndian.Uint64(data)
		if file == 0 {
			return
		}
		fn(uint32(file), data[8:discardSlot])
	}
}

// dead gives how many bytes are dead in each file that has any. That may be more than the file has,
// if a collection of it was cut off.
func (d *discards) dead() map[uint32]uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[uint32]uint64{}
	d.each(func(file uint32, dead []byte) { all[file] = binary.BigEndian.Uint64(dead) })
	return all
}

// prefer puts a file before all others, so that Badger collects it next. Something must be dead in
// it. undo takes that back if the file was not collected.
func (d *discards) prefer(file uint32) (undo func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	highest := uint64(0)
	d.each(func(f uint32, dead []byte) {
		if f != file {
			highest = max(highest, binary.BigEndian.Uint64(dead))
		}
	})
	more := highest + discardLead
	d.change(file, func(dead uint64) uint64 { return dead + more })
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.change(file, func(dead uint64) uint64 { return dead - min(dead, more) })
	}
}

// change changes how many bytes are dead in a file. The lock must be held.
func (d *discards) change(file uint32, to func(uint64) uint64) {
	d.each(func(f uint32, dead []byte) {
		if f == file {
			binary.BigEndian.PutUint64(dead, to(binary.BigEndian.Uint64(dead)))
		}
	})
}
