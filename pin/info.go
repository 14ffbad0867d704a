package pin

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

// InfoDamaged is the member of [View].Info that says a request's record cannot be read;
// its value is "record".
const InfoDamaged = "damaged"

// InfoOf is [View].Info as far as it follows from the request's record.
func InfoOf(r Request) map[string]string {
	info := make(map[string]string)
	if r.Details != "" {
		info["status_details"] = r.Details
	}
	if r.Damaged {
		info[InfoDamaged] = "record"
	}
	if ignored := ignoredOrigins(r.Origins); ignored != "" {
		info[InfoOriginsIgnored] = ignored
	}
	if r.Status == Pinned {
		info["blocks"] = strconv.FormatUint(r.Totals.Blocks, 10)
		info["bytes"] = strconv.FormatUint(r.Totals.Bytes, 10)
	}
	return info
}

// view adds to a request what is going on, from memory.
func (m *Manager) view(r Request) View {
	v := View{Request: r}
	info := InfoOf(r)
	switch r.Status {
	case Pinned:
		if m.denied(r.DAG()) != nil {
			info["status_details"] = deniedNote
		}
		if at, ok := m.engine.Announced(r.DAG()); ok && at.IsZero() {
			info["announced"] = "not yet"
		} else if ok {
			info["announced"] = at.UTC().Format(time.RFC3339)
		}
	case Queued, Pinning:
		m.jobs.describe(r, info)
	}
	if info["status_details"] == "" {
		delete(info, "status_details")
	}
	if len(info) > 0 {
		v.Info = info
	}
	if d, ok := m.engine.(Describer); ok {
		v.describe(m.ctx, d, false)
	}
	return v
}

// describe adds what the place knows of the request.
func (v *View) describe(ctx context.Context, d Describer, ask bool) {
	if v.Info == nil {
		v.Info = make(map[string]string)
	}
	if d.Describe(ctx, v.Request, ask, v.Info); len(v.Info) == 0 {
		v.Info = nil
	}
}

// delivered is who has delivered blocks of a DAG that is fetched; nil if nobody has.
func (s *scheduler) delivered(d DAG) *Delivered {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[d]
	if j == nil || j.progress == nil {
		return nil
	}
	if by := j.progress.Delivered(); by.Blocks() > 0 {
		return &by
	}
	return nil
}

// tellDelivered adds to Info who delivered it. Views in lists do not say that: it is a record
// more for each.
func (v *View) tellDelivered() {
	if v.Totals.By == nil || v.Totals.By.Blocks() == 0 {
		return
	}
	if v.Info == nil {
		v.Info = map[string]string{}
	}
	v.Info["delivered_by"] = v.Totals.By.String()
}

// describe adds to info what is known in memory of an unfinished request.
func (s *scheduler) describe(r Request, info map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[r.DAG()]
	switch {
	case j == nil:
		s.describeOnDisk(r, info)
	case r.Status == Queued:
		s.describeQueued(r, j, info)
	default:
		j.describe(s.clock.Now(), info)
		s.describeKept(j, info)
	}
}

// describeOnDisk says of a request without a job that it waits on disk, if it does.
func (s *scheduler) describeOnDisk(r Request, info map[string]string) {
	some, others := s.turns.OnDisk(r.Account)
	switch {
	case r.Status == Queued && some:
		info["status_details"] = fmt.Sprintf("queued, with more than %d other pins of the account: the oldest and the newest are tried first, and it is between these", others)
	case r.Status == Pinning && s.turns.HasSpilled(r.Account):
		info["status_details"] = fmt.Sprintf("put off after a try, as %d other pins of the account wait for another too; it has its next when some of those are over",
			s.turns.Kept(r.Account))
	}
}

// describeQueued says where in its account's queue a request is.
func (s *scheduler) describeQueued(r Request, j *job, info map[string]string) {
	w, _ := j.members.get(member{r.Account, r.ID})
	n, newest := s.turns.Position(r.Account, w.place)
	if n == 0 {
		return
	}
	from := "oldest"
	if newest {
		from = "newest"
	}
	info["queue_position"] = strconv.Itoa(n)
	info["status_details"] = fmt.Sprintf("queue position: %d, counted from the %s of the account's pins that wait for their first try", n, from)
}

// describe says how far a job has come.
func (j *job) describe(now time.Time, info map[string]string) {
	if !j.began.IsZero() {
		info["elapsed"] = now.Sub(j.began).Round(time.Second).String()
	}
	if p := j.progress; p != nil {
		p.describe(now, info)
		if j.rate >= 1 {
			info["bytes_per_second"] = strconv.FormatFloat(j.rate, 'f', 0, 64)
		}
	}
	if j.tries > 0 {
		info["attempt"] = strconv.Itoa(j.tries + 1)
	}
	if j.State() == turns.Parked {
		info["next_try"] = "in " + j.pause(now).String()
	}
	info["status_details"] = j.details(now)
	if j.repair {
		info["status_details"] = repairNote + info["status_details"]
	}
}

// describe says what a fetch has counted.
func (p *Progress) describe(now time.Time, info map[string]string) {
	info["blocks"] = strconv.FormatUint(p.Blocks.Load(), 10)
	info["bytes"] = strconv.FormatUint(p.Bytes.Load(), 10)
	if n := p.Claimed(); n > 0 {
		info["bytes_claimed"] = strconv.FormatUint(n, 10)
	}
	if n := p.Again(); n > 0 {
		info["asked_again"] = strconv.FormatUint(n, 10)
	}
	if gap := p.Gap(); gap >= time.Second {
		info["longest_gap"] = gap.Round(100 * time.Millisecond).String()
	}
	info["providers"] = strconv.FormatInt(p.Providers.Load(), 10)
	if last := p.LastBlock(); !last.IsZero() {
		info["last_block"] = now.Sub(last).Round(time.Second).String() + " ago"
	}
}

// repairNote comes before what a repair does or waits for.
const repairNote = "it was pinned, and a block of it that was damaged is fetched again; it keeps what it has until that comes: "

// details is a sentence on what a job does or waits for.
func (j *job) details(now time.Time) string {
	p, note := j.progress, j.note()
	switch {
	case j.blocked && j.State() != turns.Running:
		return "waiting: " + j.trouble
	case j.trouble != "" && j.State() != turns.Running:
		return fmt.Sprintf("waiting after an error: %s; next try in %v", j.trouble, j.pause(now))
	case j.State() == turns.Waiting:
		return "waiting for its turn"
	case j.slot != nil:
		if waits, _ := j.slot.State(); waits {
			return "found; waiting for a worker"
		}
	}
	if p == nil {
		return "starting"
	}
	since := now.Sub(j.lastMoved()).Round(time.Second)
	switch {
	case p.Writes.Load() && j.State() == turns.Running:
		return "all of it has come, and the last of it is being written to disk"
	case p.Blocks.Load() == 0 && note != "":
		return note
	case p.Blocks.Load() == 0:
		return fmt.Sprintf("no connected peer has it; looking for %v", since)
	case since >= silence:
		s := fmt.Sprintf("nothing received for %v", since)
		if note != "" {
			s += "; " + note
		}
		return s
	default:
		if t := p.Troubles(); t != "" { // not what an earlier run found
			return "receiving blocks; " + t
		}
		return "receiving blocks"
	}
}

// silence is from when on a user is shown that nothing comes: any DAG waits for a second now and then.
const silence = 4 * time.Second

// pause is how long a parked job has still to wait.
func (j *job) pause(now time.Time) time.Duration {
	return max(j.NextTry().Sub(now), 0).Round(time.Second)
}
