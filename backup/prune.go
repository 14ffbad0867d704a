package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Keep says which backups stay. The newest of each store always does, and so does the newest that lacks
// nothing.
type Keep struct {
	// Store is whose backups may be removed, and what is left of them; "" is everybody's.
	Store  string
	Last   int           // so many of the newest of each store
	Within time.Duration // and those that are younger than this
}

// Pruned says what was removed.
type Pruned struct {
	Backups []string `json:"backups"` // their IDs
	Files   int      `json:"files"`
}

// abandoned is how old a run without a manifest must be before it is removed by another
// store than its own: it may be under way. 20 TB take 19 days at 100 Mbit/s.
const abandoned = 30 * 24 * time.Hour

// Prune removes the backups that need not stay, and the files that no backup needs. It stops
// before it removes anything if one of the manifests cannot be read. It may be interrupted
// anywhere: the next one goes on.
func Prune(ctx context.Context, p Place, k *Key, keep Keep, now time.Time) (Pruned, error) {
	pruned := Pruned{Backups: []string{}}
	all, err := List(ctx, p, k)
	if err != nil {
		return pruned, err
	}
	young := make(map[string]int)     // backups of each store that were looked at
	hasWhole := make(map[string]bool) // stores of whose backups one lacked nothing
	needed := make(map[string]bool)
	for _, m := range slices.Backward(all) {
		young[m.Store]++
		n, newest := young[m.Store], !hasWhole[m.Store] && !m.Lacks()
		hasWhole[m.Store] = hasWhole[m.Store] || newest
		if newest || n == 1 || keep.Store != "" && m.Store != keep.Store || n <= keep.Last || keep.Within > 0 && now.Sub(m.Begun) < keep.Within {
			whole, err := readManifest(ctx, p, k, m.ID)
			if err != nil {
				return pruned, err
			}
			need(needed, whole)
			continue
		}
		// Without its manifest it counts as none, whatever becomes of the rest.
		if err := p.Remove(ctx, m.ID+"/"+manifestFile+k.suffix()); err != nil {
			return pruned, err
		}
		pruned.Backups = append(pruned.Backups, m.ID)
	}
	names, err := p.List(ctx, "")
	if err != nil {
		return pruned, err
	}
	// A run that was begun and has no manifest may be under way.
	underWay := make(map[string]bool)
	for _, name := range names {
		if path.Base(name) == begunFile+k.suffix() {
			underWay[path.Dir(name)] = true
		}
	}
	pruned.Files, err = removeUnneeded(ctx, p, names, needed, func(run string) bool {
		begun, _ := beganAt(run)
		return slices.Contains(pruned.Backups, run) || !underWay[run] || keep.Store == "" && now.Sub(begun) > abandoned
	})
	return pruned, err
}

// beganAt reads the time out of the ID of a run.
func beganAt(id string) (time.Time, bool) {
	day, _, _ := strings.Cut(id, "-")
	t, err := time.Parse(idTime, day)
	return t, err == nil && isID(id)
}

// need notes that a backup, and all files that it is made of, are needed.
func need(needed map[string]bool, m *Manifest) {
	needed[m.ID] = true
	for _, f := range m.files() {
		needed[f.Name] = true
	}
}

// removeUnneeded removes the files of runs that no backup needs, if their run may go.
func removeUnneeded(ctx context.Context, p Place, names []string, needed map[string]bool, mayGo func(run string) bool) (n int, err error) {
	for _, name := range names {
		run, _, _ := strings.Cut(name, "/")
		if !isID(run) || needed[name] || needed[run] || !mayGo(run) {
			continue
		}
		if err := errors.Join(ctx.Err(), p.Remove(ctx, name)); err != nil {
			return n, fmt.Errorf("remove %s: %w", name, err)
		}
		n++
	}
	return n, nil
}

// clear removes what runs of this store left that were cut off. None is under way.
func (r *run) clear(ctx context.Context, needed map[string]bool) error {
	names, err := r.Place.List(ctx, "")
	if err != nil {
		return err
	}
	ours := make(map[string]bool)
	for _, name := range names {
		if path.Base(name) != begunFile+r.Key.suffix() {
			continue
		}
		run := path.Dir(name)
		b, err := readSealed(ctx, r.Place, r.Key, name, maxSmall)
		var info begunInfo
		if err == nil {
			err = json.Unmarshal(b, &info)
		}
		ours[run] = err == nil && info.Store == r.Store
	}
	_, err = removeUnneeded(ctx, r.Place, names, needed, func(run string) bool { return ours[run] })
	return err
}
