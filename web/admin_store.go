package web

import (
	"net/http"
	"net/url"

	"github.com/holdfast-ipfs/holdfast/admin"
)

// storeBody is what the page of the store shows.
type storeBody struct {
	Stats admin.StoreStats
	Runs  []storeRun
}

// storeRun is a run with the address of who began it.
type storeRun struct {
	admin.Run
	Who string // "" is the host's operator
}

// Percent is how far the run is; -1 if nobody knows.
func (r storeRun) Percent() int {
	if r.Progress.Total == 0 {
		return -1
	}
	return percent(r.Progress.Done, r.Progress.Total)
}

// Share is a part of the disk, in percent of the whole.
type share struct {
	Name    string
	Bytes   uint64
	Percent float64
	At      float64 // where the part begins
}

// Disk is the disk as one bar: what pins need, what a reclaim gives back, what else the database
// takes, and what is free. Parts of others on the same file system are not in it.
func (b storeBody) Disk() []share {
	s := b.Stats
	other := s.Disk - min(s.Disk, s.Live.Bytes+s.Dead.Bytes)
	parts := []share{{Name: "live", Bytes: s.Live.Bytes}, {Name: "dead", Bytes: s.Dead.Bytes}, {Name: "other", Bytes: other}, {Name: "free", Bytes: s.Free}}
	whole, at := float64(0), float64(0)
	for _, p := range parts {
		whole += float64(p.Bytes)
	}
	for i := range parts {
		if whole > 0 {
			parts[i].Percent = float64(parts[i].Bytes) / whole * 100
		}
		parts[i].At = at
		at += parts[i].Percent
	}
	return parts
}

// Running reports whether a run goes on.
func (b storeBody) Running() bool {
	for _, r := range b.Runs {
		if r.Running() {
			return true
		}
	}
	return false
}

// store reads what the page shows.
func (u *UI) store(c *call) (body storeBody, err error) {
	if err := c.api(http.MethodGet, admin.StatsPath, nil, &body.Stats); err != nil {
		return body, err
	}
	body.Runs, err = u.runs(c)
	return body, err
}

// runs reads the runs, with names for their accounts.
func (u *UI) runs(c *call) (out []storeRun, err error) {
	var all struct{ Runs []admin.Run }
	if err := c.api(http.MethodGet, admin.RunsPath, nil, &all); err != nil {
		return nil, err
	}
	for _, r := range all.Runs {
		one := storeRun{Run: r}
		if r.By != "" {
			one.Who = r.By
			if a, err := u.Auth.AccountByID(c.ctx, r.By); err == nil {
				one.Who = a.Email
			}
		}
		out = append(out, one)
	}
	return out, nil
}

func (u *UI) storePage(c *call) error {
	body, err := u.store(c)
	if err != nil {
		return err
	}
	return c.render("store.html", "Store", body)
}

// liveStore streams how far the runs are.
func (u *UI) liveStore(c *call) error {
	return u.stream(c, func(s *stream) (moving bool, err error) {
		body := storeBody{}
		if body.Runs, err = u.runs(c); err != nil {
			return false, err
		}
		return body.Running(), s.element("runs", "store.html", "runs", body)
	})
}

func (u *UI) beginRun(c *call) error {
	if err := c.api(http.MethodPost, admin.RunsPath, map[string]string{"kind": c.FormValue("kind")}, nil); err != nil {
		if err := c.problem(err); err != nil {
			return err
		}
		return u.storePage(c)
	}
	return c.done("run-begun", storePath)
}

func (u *UI) endRun(c *call) error {
	if err := c.api(http.MethodDelete, admin.RunsPath+"/"+url.PathEscape(c.Param("id")), nil, nil); err != nil {
		return err
	}
	return c.done("run-ended", storePath)
}
