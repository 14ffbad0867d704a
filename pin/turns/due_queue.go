package turns

import (
	"container/heap"
	"time"
)

// dueQueue orders jobs by the time at which each is due. To look at it costs time by the
// jobs that are due, not by all. It has no lock.
type dueQueue struct {
	jobs []*Job
	at   func(*Job) time.Time // when a job is due; it may change only with set and remove
	spot func(*Job) *int      // where a job keeps its index in jobs, counted from 1; 0 is none
}

// set puts a job where it belongs, whether it is in the queue already or not.
func (a *dueQueue) set(j *Job) {
	if i := *a.spot(j); i > 0 {
		heap.Fix(a, i-1)
	} else {
		heap.Push(a, j)
	}
}

// remove takes a job out if it is in the queue.
func (a *dueQueue) remove(j *Job) {
	if i := *a.spot(j); i > 0 {
		heap.Remove(a, i-1)
	}
}

// first returns the job that is due first, nil if there is none.
func (a *dueQueue) first() *Job {
	if len(a.jobs) == 0 {
		return nil
	}
	return a.jobs[0]
}

// due returns the first job if it is due, else nil.
func (a *dueQueue) due(now time.Time) *Job {
	if j := a.first(); j != nil && !now.Before(a.at(j)) {
		return j
	}
	return nil
}

// countDue counts the jobs that are due, up to limit.
func (a *dueQueue) countDue(now time.Time, limit int) (n int) {
	for todo := []int{0}; len(todo) > 0 && n < limit; {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if i < len(a.jobs) && !now.Before(a.at(a.jobs[i])) {
			n++
			todo = append(todo, 2*i+1, 2*i+2) // the heap: those are due later
		}
	}
	return n
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (a *dueQueue) Len() int { return len(a.jobs) }

func (a *dueQueue) Less(i, k int) bool { return a.at(a.jobs[i]).Before(a.at(a.jobs[k])) }

func (a *dueQueue) Swap(i, k int) {
	a.jobs[i], a.jobs[k] = a.jobs[k], a.jobs[i]
	*a.spot(a.jobs[i]), *a.spot(a.jobs[k]) = i+1, k+1
}

func (a *dueQueue) Push(x any) {
	j := x.(*Job)
	a.jobs = append(a.jobs, j)
	*a.spot(j) = len(a.jobs)
}

func (a *dueQueue) Pop() any {
	last := len(a.jobs) - 1
	j := a.jobs[last]
	a.jobs[last] = nil
	a.jobs = a.jobs[:last]
	*a.spot(j) = 0
	return j
}
