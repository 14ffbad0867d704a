package store

import (
	"context"
	"encoding/binary"
	"fmt"
)

// layoutVersion is the layout of records that this program reads and writes.
const layoutVersion = 4

// A migration brings records from one layout to the next. It may commit as
// often as it needs, and must be able to start over on what an interrupted
// run of it left.
type migration func(ctx context.Context, s *Store) error

// migrations has the step from layout i+1 to layout i+2 at i.
func migrations() []migration { return []migration{linksWithCodecs, liveCounts, boundedRows} }

// migrate runs the steps that a directory needs. First the marker is raised,
// durably, so that a program that does not know the new layout touches
// nothing from then on. The layout that the records have is among them, and
// is raised after each step.
func (s *Store) migrate(ctx context.Context, dir string, steps []migration) error {
	target := 1 + len(steps)
	have, err := s.layout(ctx)
	if err != nil {
		return fmt.Errorf("read layout: %w", err)
	}
	if have > target {
		return fmt.Errorf("%s: %w (layout %d, this one knows %d)", dir, ErrNewerLayout, have, target)
	}
	if have == target {
		return nil
	}
	if have == 0 { // nothing was ever written
		return s.setLayout(ctx, target)
	}
	if err := writeMarker(dir, target); err != nil {
		return err
	}
	for ; have < target; have++ {
		s.log.Info("bringing the records to a newer layout", "from", have, "to", have+1)
		if err := steps[have-1](ctx, s); err != nil {
			return fmt.Errorf("bring records from layout %d to %d: %w", have, have+1, err)
		}
		if err := s.setLayout(ctx, have+1); err != nil {
			return err
		}
	}
	return nil
}

// layout is what the records have; zero in a new database.
func (s *Store) layout(ctx context.Context) (layout int, err error) {
	err = s.view(ctx, func(r *reader) error {
		b, found, err := r.get(metaKey("layout"))
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
	err := s.update(ctx, func(t *tx) error {
		t.set(metaKey("layout"), binary.BigEndian.AppendUint64(nil, uint64(layout)))
		return nil
	})
	if err != nil {
		return fmt.Errorf("write layout %d: %w", layout, err)
	}
	return nil
}
