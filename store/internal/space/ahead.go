package space

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
)

// Badger writes a value by copying it to where its log is mapped. There each page that is written for
// the first time is a page fault, and each of those costs a multiple of the copy. So where much
// will be written at once, the system is asked for the memory before that: all at once and in large
// pages, of which each is one fault.

const (
	// largePage is the size of the system's large pages. All of such a page is written to the disk
	// when some of it is, so only those are asked for that the next batch fills.
	largePage = 2 << 20
	// aheadLeast is the shortest batch that memory is asked for: at least one large page lies in it.
	aheadLeast = 2 * largePage
)

// newestLog is the newest file of Badger's value log, as far as memory for it is concerned.
type newestLog struct {
	filesLock *sync.RWMutex
	files     reflect.Value // the files by their numbers
	newest    reflect.Value // the number of the newest
	end       *atomic.Uint32
	taking    sync.Mutex // one asks at a time: others would ask for the same
}

// newestLogOf finds it in a Badger database. Errors: errUnknownBadger.
func newestLogOf(db any) (*newestLog, error) {
	unknown := fmt.Errorf("%w: the files of its value log are elsewhere", errUnknownBadger)
	log := reflect.ValueOf(db).Elem().FieldByName("vlog")
	if !log.IsValid() || log.Kind() != reflect.Struct {
		return nil, unknown
	}
	lock, end := log.FieldByName("filesLock"), log.FieldByName("writableLogOffset")
	if !lock.IsValid() || lock.Type() != reflect.TypeFor[sync.RWMutex]() || !end.IsValid() || end.Type() != reflect.TypeFor[atomic.Uint32]() {
		return nil, unknown
	}
	n := &newestLog{}
	n.files, n.newest = log.FieldByName("filesMap"), log.FieldByName("maxFid")
	if !n.newest.IsValid() || n.newest.Kind() != reflect.Uint32 ||
		!n.files.IsValid() || n.files.Kind() != reflect.Map || n.files.Type().Key() != n.newest.Type() {
		return nil, unknown
	}
	file := n.files.Type().Elem()
	if file.Kind() != reflect.Pointer || file.Elem().Kind() != reflect.Struct {
		return nil, unknown
	}
	mapped, ok := file.Elem().FieldByName("Data") // promoted from the file that it has
	guard, ok2 := file.Elem().FieldByName("lock")
	if !ok || !ok2 || mapped.Type != reflect.TypeFor[[]byte]() || guard.Type != reflect.TypeFor[sync.RWMutex]() {
		return nil, unknown
	}
	n.filesLock, n.end = (*sync.RWMutex)(lock.Addr().UnsafePointer()), (*atomic.Uint32)(end.Addr().UnsafePointer())
	return n, nil
}

// ahead calls do with what is mapped of the file, and where in it the next size bytes will be. It stays
// mapped until do returns.
func (n *newestLog) ahead(size int, do func(file []byte, from, to int)) {
	n.filesLock.RLock()
	file := n.files.MapIndex(n.newest)
	n.filesLock.RUnlock()
	if !file.IsValid() || file.IsNil() {
		return
	}
	lock := (*sync.RWMutex)(file.Elem().FieldByName("lock").Addr().UnsafePointer())
	if !lock.TryRLock() { // Badger is ending the file
		return
	}
	defer lock.RUnlock()
	data, from := file.Elem().FieldByName("Data").Bytes(), int(n.end.Load())
	if to := from + size; to <= len(data) {
		do(data, from, to)
	}
}

// Ahead says that about so many bytes of values will be written in a moment. It is a hint.
func (s *Space) Ahead(size int) {
	if n := s.inside.newest; size >= aheadLeast && n.taking.TryLock() {
		defer n.taking.Unlock()
		n.ahead(size, takeMemory)
	}
}
