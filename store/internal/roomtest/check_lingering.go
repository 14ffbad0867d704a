package roomtest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Records of what lingers, as they are on disk.
type (
	lingerRecord struct {
		_        struct{} `cbor:",toarray"`
		Account  [16]byte
		DAG      []byte
		Since    int64
		Complete bool
		Blocks   uint64
		Bytes    uint64
	}
	lingeringRecord struct {
		_      struct{} `cbor:",toarray"`
		DAGs   uint64
		Blocks uint64
		Bytes  uint64
	}
)

// LingeringDAGs lists the DAGs that were complete when they began to linger.
func LingeringDAGs(tb testing.TB, db *kv.DB) (dags []pin.DAG) {
	tb.Helper()
	Must(tb, db.View(tb.Context(), func(r *kv.Reader) error {
		return r.Scan(kv.Span{Prefix: []byte{KLinger}}, func(_, value []byte) (bool, error) {
			var rec lingerRecord
			err := decode(value, &rec)
			if err == nil && rec.Complete {
				dags = append(dags, pin.DAG(rec.DAG))
			}
			return true, err
		})
	}))
	return dags
}

// CheckLingering compares what is kept of what lingers with each other.
func CheckLingering(tb testing.TB, db *kv.DB) {
	tb.Helper()
	Must(tb, db.View(tb.Context(), func(r *kv.Reader) error {
		return (&checker{r: r, holders: map[pin.DAG]uint64{}}).lingering()
	}))
}

// lingering notes what DAGs linger, and compares the keys by account and the sum with that.
func (c *checker) lingering() error {
	want := map[string]string{}
	var sum lingeringRecord
	err := c.r.Scan(kv.Span{Prefix: []byte{KLinger}}, func(k, value []byte) (bool, error) {
		var rec lingerRecord
		if err := decode(value, &rec); err != nil {
			return false, err
		}
		a, d := kv.Account(rec.Account), pin.DAG(rec.DAG)
		if c.live[a][d] {
			return false, fmt.Errorf("%s lingers for %s, which has live requests for it", d, a)
		}
		at := string(key(KLingers, a, d))
		if _, twice := want[at]; twice {
			return false, fmt.Errorf("%s lingers twice for %s", d, a)
		}
		want[at] = string(binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(k[1:])))
		c.holders[d]++
		sum.DAGs++
		sum.Blocks += rec.Blocks
		sum.Bytes += rec.Bytes
		return true, nil
	})
	if err != nil {
		return err
	}
	if got, err := c.all(KLingers); err != nil || !maps.Equal(got, want) {
		return fmt.Errorf("keys of kind %x are %x, %v, want %x", KLingers, got, err, want)
	}
	value, found, err := c.r.Get([]byte{KLingering})
	var got lingeringRecord
	if err == nil && found {
		err = decode(value, &got)
	}
	if err != nil || got != sum || found != (sum.DAGs > 0) {
		return fmt.Errorf("the sum of what lingers is %+v, %v, want %+v", got, err, sum)
	}
	return nil
}
