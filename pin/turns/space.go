package turns

// space is what is known of the disk while jobs wait for space on it.
type space struct {
	asking bool // the caller finds out whether there is any
	next   int  // how many jobs are tried when there is
}

// DiskFull notes that a job found no space on the disk.
func (t *Turns) DiskFull() { t.space.next = 1 }

// Blocked is how many parked jobs wait for disk space.
func (t *Turns) Blocked() int { return len(t.parked.blocked) }

// AskForSpace reports whether the caller is to find out now whether the disk has space, and
// for how many bytes; 0 is for anything. The caller then calls SpaceIs.
func (t *Turns) AskForSpace() (needs uint64, ask bool) {
	if t.space.asking || t.space.next == 0 {
		return 0, false
	}
	for j := range t.parked.blocked {
		if !j.woken {
			t.space.asking = true
			return j.needs, true
		}
	}
	return 0, false
}

// SpaceIs says whether there is space for the bytes that AskForSpace named. If there is, jobs
// that wait for it are woken, as their own next try may be minutes away: one job at first,
// and each time twice as many, as long as none finds the disk full again.
func (t *Turns) SpaceIs(needs uint64, there bool) {
	t.space.asking = false
	if !there {
		return
	}
	tried := 0
	for j := range t.parked.blocked {
		if tried == t.space.next {
			break
		}
		if !j.woken && j.needs <= needs {
			t.Wake(j)
			tried++
		}
	}
	t.space.next = min(2*t.space.next, t.cfg.Places)
}
