package turns

import "time"

// State is where a job is.
type State uint8

// The states of a job. A new one waits.
const (
	Waiting State = iota // for its first turn
	Running              // it has a place
	Parked               // until its next turn
	Over                 // forgotten, except by queues that it is still in
)

// Kind is the kind of a turn.
type Kind uint8

// The kinds of turns, and how many there are.
const (
	Oldest Kind = iota // the first of a job, in the order in which they came
	Newest             // the first of a job that came just now
	Again              // another of a job that had one
	kinds
)

// shares are the eighths of the places that each kind has when all kinds want some. With
// 512 places, five eighths suffice for a thousand of the oldest a second if peers answer
// soon, and one eighth for 32 of the newest a second, whose turns last 2 s.
var shares = [kinds]int{Oldest: 5, Newest: 1, Again: 2}

// newestEvery: at least one turn in so many is for the newest, if any waits, even if they
// have their share of places already. Else jobs that took the whole share at once would
// make the next one wait until the first of their turns ends.
const newestEvery = 32

// turnCost is what a turn costs a kind with one share; other kinds pay turnCost divided by
// their shares.
const turnCost = 10

// Job is what [Turns] knows of a job. The caller embeds it in a job of its own, and finds
// that by Key. Both fields are set when it is made and do not change.
type Job struct {
	Key     string // the caller's name for it
	Account string // whose turns it takes

	state    State
	kind     Kind // of the turn that it has or had
	seeks    bool // it runs and has received nothing yet
	evicting bool // it was asked to give up its place, and still has it
	woken    bool // parked, and to be tried before its time
	kept     bool // it stays in memory until it is over
	blocked  bool // parked until the disk has space
	inTries  int  // its index in each dueQueue
	inEnds   int
	started  time.Time // of this turn
	nextTry  time.Time // when parked
	ends     time.Time // when it fails if it is still parked; zero is never
	needs    uint64    // bytes for which there was no space; 0 if not known
	peers    []string  // whose arrival wakes it
}

// State is where the job is.
func (j *Job) State() State { return j.state }

// Kind is the kind of its turn, or of its last one.
func (j *Job) Kind() Kind { return j.kind }

// Started is when its turn began.
func (j *Job) Started() time.Time { return j.started }

// NextTry is when a parked job has its next turn.
func (j *Job) NextTry() time.Time { return j.nextTry }

// Woken reports whether it is parked and is to be tried before its time.
func (j *Job) Woken() bool { return j.woken }

// Evicting reports whether it was asked to give up its place.
func (j *Job) Evicting() bool { return j.evicting }
