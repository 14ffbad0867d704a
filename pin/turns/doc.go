// Package turns decides which job has a place when. It knows nothing of requests, blocks
// or disks, starts no goroutine and reads no clock: callers tell it the time. Only the
// methods of [Workers] and [Slot] may be called concurrently.
//
// # Words
//
// A job has turns until it is over. It waits for its first turn, runs, or is parked until
// its next turn. A job has a place while it runs. There are [Config.Places], many, since
// a job that only seeks costs little. For more than that it needs a worker; there are
// few.
//
// # The queue of an account
//
// Jobs that have had no turn wait in the queue of their account. Only its two ends are in
// memory: the oldest jobs, read from disk in order, and the newest, as they came. What is
// between them is spilled: it is on disk alone, and is read when the oldest have had
// their turns.
//
// Jobs that have had a turn are parked. An account may keep a number of them in memory;
// others are spilled too, and are read, round by round, when there is room.
//
// # Which job has the next place
//
// Accounts take turns, however many jobs each has. There are three kinds of turns: for the
// oldest jobs of an account, for its newest, and for jobs that are tried again. When more
// jobs wait than there are places, the oldest have five eighths of the places that are
// used for seeking, the newest one eighth, and those tried again two eighths. What one
// kind does not need the others have. Besides, every 32nd turn is for the newest. So what
// is requested now is tried at once, whatever waits before it. What waits before it is
// tried all the same, in its order: a job waits for the jobs before it in its account, not
// for those after it.
//
// # How long a turn is
//
// A job that receives something keeps its place. A job that receives nothing keeps it for
// [Config.Slice] while others wait for their first turn: enough to dial a peer and ask it.
// The oldest jobs keep their places only until the connected peers will have answered,
// which may be much sooner. It is worth more that a sweep over a million jobs takes minutes
// than that each is asked for longer. While only jobs wait that are tried again, a job
// keeps its place for [Config.IdleSlice].
package turns
