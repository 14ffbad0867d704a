package turns

// room is what is known of the disk's while jobs wait for it.
type space struct {
	asking bool // whether there is any
	next   int  // so many jobs are tried when there is
}

// Full takes note that a job found no room on the disk.
func (t *Turns) DiskFull() { t.space.next = 1 }

// Blocked is how many parked jobs wait for room on the disk.
func (t *Turns) Blocked() int { return len(t.parked.blocked) }

// AskForSpace reports whether it is time to ask whether the disk has room, and for how
// many bytes. Who is told so asks, and calls SpaceIs.
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

// SpaceIs ends what AskForSpace began: there is room for so many bytes, or not. Jobs that
// wait for it are woken if there is: one at first, and with each time twice as many, for
// as long as none of them finds the disk full again. Their own next try may be minutes
// away.
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
