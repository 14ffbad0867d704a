package store

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

const (
	// firstLayout is the oldest layout that this version can bring to its own. Earlier ones
	// were never released.
	firstLayout = 4
	// layoutVersion is the layout of records that this version reads and writes.
	layoutVersion = 5
)

// A migration brings records from one layout to the next. It may commit as often as it needs. It
// changes records through [Store.step] only, so that all of it can be undone.
type migration func(ctx context.Context, s *Store) error

// migrations lists the steps: at i is the one from layout firstLayout+i to the next. A test adds one,
// and shows what happens when it fails and when it is cut off.
func migrations() []migration {
	return []migration{
		func(ctx context.Context, s *Store) error { return s.requestRecords.CountLiveAnew(ctx, s.step) },
	}
}

// migrate runs the steps that a directory needs. It keeps the old values of what they change until all
// of them are done. If one fails, everything is put back, and the version that wrote the records can
// go on with them. While the steps run, and if they are cut off, the layout in the records is the new
// one, so the old version refuses them. The next start of this version puts everything back, and
// begins again. The directory's marker is written last.
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
	// An earlier run may have upgraded it and ended before it wrote the marker.
	if marked, err := readMarker(dir); err == nil && marked < target {
		return writeMarker(dir, target)
	}
	return nil
}

// layout gives the layout in the records; zero in a new database.
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
