package store

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

const (
	// firstLayout is the oldest layout that this program can bring up to its own.
	// Those before it were never released.
	firstLayout = 4
	// layoutVersion is the layout of records that this program reads and writes.
	layoutVersion = 4
)

// A migration brings records from one layout to the next. It may commit as often as it
// needs, and changes records by [Store.step] alone, so that all of it can be taken back.
type migration func(ctx context.Context, s *Store) error

// migrations has the step from layout firstLayout+i to the next one at i. A test makes one
// up, and shows what happens when it fails and when it is cut off.
func migrations() []migration { return nil }

// migrate runs the steps that a directory needs. What they change is kept as it was until
// all of them are done: if one fails, everything is put back, and the program that wrote
// the records can go on with them. While they run, and if they are cut off, the layout
// that is among the records is the new one, by which that program refuses them; the next
// start puts everything back, and begins again. The marker of the directory comes last.
func (s *Store) migrate(ctx context.Context, dir string, steps []migration) error {
	target := firstLayout + len(steps)
	if err := s.takeBackCutOff(ctx); err != nil {
		return err
	}
	have, err := s.layout(ctx)
	if err != nil {
		return fmt.Errorf("read layout: %w", err)
	}
	if have > target {
		return fmt.Errorf("%s: %w (layout %d, this one knows %d)", dir, errNewerLayout, have, target)
	}
	if have == 0 { // nothing was ever written
		return s.setLayout(ctx, target)
	}
	if have < firstLayout {
		return fmt.Errorf("%s: %w (layout %d, this one knows %d and later)", dir, errOlderLayout, have, firstLayout)
	}
	if have < target {
		if err := s.upgrade(ctx, have, target, steps); err != nil {
			return err
		}
	}
	// It may have been upgraded by a run that did not come to the marker.
	if marked, err := readMarker(dir); err == nil && marked < target {
		return writeMarker(dir, target)
	}
	return nil
}

// layout is what the records have; zero in a new database.
func (s *Store) layout(ctx context.Context) (layout int, err error) {
	err = s.kv.View(ctx, func(r *kv.Reader) error {
		b, found, err := r.Get(kv.MetaKey(kv.MetaLayout))
		if err != nil || !found {
			return err
		}
		if len(b) != 8 {
			return fmt.Errorf("layout is %x", b)
		}
		layout = int(binary.BigEndian.Uint64(b))
		return nil
	})
	return layout, err
}

func (s *Store) setLayout(ctx context.Context, layout int) error {
	err := s.kv.Update(ctx, func(t *kv.Tx) error {
		t.Set(kv.MetaKey(kv.MetaLayout), binary.BigEndian.AppendUint64(nil, uint64(layout)))
		return nil
	})
	if err != nil {
		return fmt.Errorf("write layout %d: %w", layout, err)
	}
	return nil
}
