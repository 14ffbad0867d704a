package reading

import (
	"bytes"

	"github.com/dgraph-io/badger/v4"
)

// atOnce is how many keys AppendRange reads in one guarded call.
const atOnce = 256

// Pair is where a key and its value are in the bytes that AppendRange appended to.
type Pair struct{ Key, Value, End int }

// AppendRange reads the keys with a prefix from one on, up to another, that one excluded, and their values.
// It calls each with up to some hundred of them, as they stand in buf, which the next call may change.
// each gives the buf to go on with, and false to end. One call costs half of what [Iterate] and ValueOf do
// for each key: Badger compares and copies less when it gives all versions. The first of a key is the newest. An error
// leaves out what came since the last call of each. Errors: diskerr.ErrUnreadable.
func AppendRange(txn *badger.Txn, prefix, from, to []byte, buf []byte, each func(buf []byte, pairs []Pair) (next []byte, more bool)) error {
	opt := badger.DefaultIteratorOptions
	opt.Prefix, opt.AllVersions = prefix, true
	i := Iterate(txn, opt)
	defer i.Close()
	i.Seek(from)
	pairs := make([]Pair, 0, atOnce)
	var last []byte // the key before
	for ended := false; !ended; {
		pairs = pairs[:0]
		i.move(func() (err error) {
			for n := 0; n < atOnce; n++ {
				if !i.it.ValidForPrefix(prefix) {
					ended = true
					return nil
				}
				item := i.it.Item()
				key := item.Key()
				if to != nil && bytes.Compare(key, to) >= 0 {
					ended = true
					return nil
				}
				if !bytes.Equal(key, last) {
					last = append(last[:0], key...)
					if !item.IsDeletedOrExpired() {
						p := Pair{Key: len(buf)}
						buf = append(buf, key...)
						p.Value = len(buf)
						if buf, err = appendValue(item, buf); err != nil {
							return err
						}
						p.End = len(buf)
						pairs = append(pairs, p)
					}
				}
				i.it.Next()
			}
			return nil
		})
		if i.err != nil {
			return i.err
		}
		if len(pairs) > 0 {
			more := false
			if buf, more = each(buf, pairs); !more {
				return nil
			}
		}
	}
	return nil
}
