// Package turns decides who may have which place when. It knows nothing of requests,
// blocks or disks, starts no goroutine and looks at no clock: callers tell it the time.
// Its methods may not be called concurrently, but for those of [Workers] and [Slot].
//
// # Words
//
// A job is something that has turns until it is over. It waits for its first turn,
// runs, or is parked until its next one. A place is what a job has while it runs: there
// are [Config.Places], many, since a job that only seeks costs little. A worker is what
// it needs for more than that; there are few.
//
// # The line of an account
//
// Jobs that had no turn yet wait in the line of their account. Its two ends are in
// memory: the oldest, read from disk in order, and the newest, as they came. What is
// between them is on disk alone, and is read when the oldest have had their turns.
//
// # Who has the next place
//
// Accounts have turns one after the other, however many jobs each has. There are three
// kinds of turns: for the oldest of an account, for its newest, and for those that are
// tried again. When more jobs wait than there are places, five eighths of those that are
// used for seeking are for the oldest, one for the newest, and two for those that are
// tried again; what a kind does not need the others have. Besides, every 32nd turn is
// for the newest. So what is asked for now is tried at once whatever lies before it, and
// what lies there is tried all the same, in its order: none waits for more than those
// before it in its account, however many come after it.
//
// # How long a turn is
//
// A job that receives something keeps its place. One that does not keeps it for
// [Config.Slice] while others wait for their first turn, which is enough to dial
// somebody and ask. The oldest keep theirs only until those who were asked may have
// answered, which may be much sooner: that a sweep over a million takes minutes is
// worth more than that each of them is asked for longer. While only such wait as are
// tried again it is [Config.IdleSlice].
package turns
