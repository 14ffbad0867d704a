package turns

import "time"

// State is where a job is.
type State uint8

// The states of a job. A new one waits.
const (
	Waiting State = iota // for its first turn
	Running              // it has a place
	Parked               // until its next turn
	Over                 // forgotten, but by lines that it has a place in
)

// Kind is what a turn is for.
type Kind uint8

// The kinds of turns, and how many there are.
const (
	Oldest Kind = iota // the first of a job, in the order in which they came
	Newest             // the first of a job that came just now
	Again              // another of a job that had one
	kinds
)

// shares are the eighths of the places that each kind has when all want some. With 512
// places five are enough for a thousand of the oldest a second, if who is asked answers
// soon, and one for 32 of the newest a second, whose turns last 2 s.
var shares = [kinds]int{Oldest: 5, Newest: 1, Again: 2}

// newestEvery is how many turns begin at the most before one is for the newest, if there
// is one, even if these have their share: it may have been taken all at once, and what is
// asked for now is not to wait until the first of those had its turn.
const newestEvery = 32

// turnCost is what a turn counts for a kind that has one share; the others divide it.
const turnCost = 10

// Job is what [Turns] knows of a job. What is embedded in one of the caller's is told
// apart by its Key. The fields are set when it is made, and are not changed then.
type Job struct {
	Key     string // the caller's name for it
	Account string // whose turns it takes

	state    State
	kind     Kind // of the turn that it has or had
	seeks    bool // it runs, and counts as one that has nothing yet
	evicting bool // it is asked for its place, and still has it
	woken    bool // parked, and to be tried before its time
	kept     bool // it stays in memory until it is over
	blocked  bool // parked until there is room on the disk
	inTries  int  // its places in the agendas
	inEnds   int
	started  time.Time // of this turn
	nextTry  time.Time // when parked
	ends     time.Time // when it fails if it is still parked; zero is never
	needs    uint64    // bytes that there was no room for; 0 if it is not known
	peers    []string  // whose arrival wakes it
}

// State is where the job is.
func (j *Job) State() State { return j.state }

// Kind is what its turn is for, or was.
func (j *Job) Kind() Kind { return j.kind }

// Started is when its turn began.
func (j *Job) Started() time.Time { return j.started }

// NextTry is when a job that is parked has its next turn.
func (j *Job) NextTry() time.Time { return j.nextTry }

// Evicting reports whether it was asked for its place.
func (j *Job) Evicting() bool { return j.evicting }
