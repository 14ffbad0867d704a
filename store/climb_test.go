package store

import (
	"errors"
	"expvar"
	"slices"
	"testing"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// looks is how often the database was read so far: single keys, and scans.
func looks(t *testing.T) int64 {
	t.Helper()
	var n int64
	for _, name := range []string{"badger_get_num_user", "badger_iterator_num_user"} {
		v, ok := expvar.Get(name).(*expvar.Int)
		if !ok {
			t.Fatalf("Badger does not count %s", name)
		}
		n += v.Value()
	}
	return n
}

// A chain that is damaged throughout costs a check, and what makes it be fetched again, a
// number of reads that grows as it does, and all that it hurts is named.
func TestDamagedThroughout(t *testing.T) {
	costs := func(n int) (verifying, taking float64) {
		s := openTest(t, t.TempDir(), Config{})
		all := roomtest.ChainOf("damaged", n, nil)
		one := roomtest.PinDAG(t, s, all)
		// Another comes in from above and has it all, and one has the lower half.
		two, three := roomtest.PinDAG(t, s, roomtest.Over("all", all...)), roomtest.PinDAG(t, s, roomtest.Over("half", all[:n/2]...))
		var hashes []multihash.Multihash
		for _, b := range all {
			overwrite(t, s, b, append([]byte("x"), b.RawData()...))
			hashes = append(hashes, b.Cid().Hash())
		}
		was := looks(t)
		found, r := verify(t, s)
		verifying = float64(looks(t) - was)
		if int(r.Corrupt) != n {
			t.Errorf("of %d blocks %d are found", n, r.Corrupt)
		}
		for i, b := range all {
			want := []pin.DAG{one.Request.DAG(), two.Request.DAG()}
			if i < n/2 {
				want = append(want, three.Request.DAG())
			}
			var got []pin.DAG
			for _, hurt := range found[string(b.Cid().Hash())].DAGs {
				got = append(got, hurt.DAG)
			}
			if slices.Sort(want); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
				t.Fatalf("block %d hurts %v, want %v", i, got, want)
			}
		}
		was = looks(t)
		dags, marks, err := s.NotWhole(t.Context(), hashes)
		taking = float64(looks(t) - was)
		must(t, err)
		if len(dags) != 3 || marks != 0 {
			t.Errorf("after the check %d marks are taken back, of %v", marks, dags)
		}
		return verifying, taking
	}
	verifySmall, takeSmall := costs(200)
	verifyLarge, takeLarge := costs(800)
	for what, ratio := range map[string]float64{"verify": verifyLarge / verifySmall, "taking marks back": takeLarge / takeSmall} {
		if ratio > 6 {
			t.Errorf("%s reads %.1f times as much of a chain 4 times as long", what, ratio)
		}
	}
}

// A check that finds damage below many nodes does not sync for each of them, and takes all their
// marks back, also if it is stopped.
func TestCheckSyncsSeldom(t *testing.T) {
	const n = 300
	errStop := errors.New("stop")
	for _, stopAt := range []int{n, n / 2} {
		s := openTest(t, t.TempDir(), Config{})
		all, _ := roomtest.OneLeafEach(n)
		roomtest.PinDAG(t, s, all)
		for i := 0; i < 2*n; i += 2 {
			overwrite(t, s, all[i], []byte("x"))
		}
		version, found := s.db.MaxVersion(), 0 // each commit has a version
		_, err := s.Verify(t.Context(), func(d Damage) error {
			if found++; found == stopAt {
				return errStop
			}
			return nil
		}, nil)
		if !errors.Is(err, errStop) || found != stopAt {
			t.Errorf("it found %d, %v", found, err)
		}
		if commits := s.db.MaxVersion() - version; commits > 2 {
			t.Errorf("%d damaged blocks took %d commits", found, commits)
		}
		left, err := s.kv.CountKeys(t.Context(), []byte{roomtest.KWhole})
		must(t, err)
		if most := n - stopAt; int(left) > most {
			t.Errorf("%d marks are left, want no more than %d", left, most)
		}
	}
}

// Marks are taken back of all that is above, once, whatever comes to it first.
func TestNotWholeOfMany(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	leaves := dagtest.Leaves(300, 100)
	p := roomtest.PinDAG(t, s, dagtest.Tree(leaves, 10))
	// Two ways of two nodes, the root in which they meet, and the attempt.
	for i, want := range []int{6, 0} {
		dags, marks, err := s.NotWhole(t.Context(), []multihash.Multihash{leaves[0].Cid().Hash(), leaves[1].Cid().Hash(), leaves[299].Cid().Hash()})
		must(t, err)
		if len(dags) != 1 || dags[0] != p.Request.DAG() || marks != want {
			t.Errorf("call %d: %d marks are taken back, want %d, of %v", i, marks, want, dags)
		}
	}
}
