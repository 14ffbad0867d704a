package exchange

import (
	"container/list"
	"iter"
)

// queue is wants in an order, each once. The zero value is empty.
type queue struct {
	order list.List // of *want
	at    map[*want]*list.Element
}

func (q *queue) len() int { return len(q.at) }

func (q *queue) has(w *want) bool { return q.at[w] != nil }

// front gives the first; nil if there is none.
func (q *queue) front() *want {
	if e := q.order.Front(); e != nil {
		return e.Value.(*want)
	}
	return nil
}

// all gives all in order. The one that was given last may be removed meanwhile.
func (q *queue) all() iter.Seq[*want] {
	return func(yield func(*want) bool) {
		for e := q.order.Front(); e != nil; {
			next := e.Next()
			if !yield(e.Value.(*want)) {
				return
			}
			e = next
		}
	}
}

// first gives the first that fits; nil if none does.
func (q *queue) first(fits func(*want) bool) *want {
	for w := range q.all() {
		if fits(w) {
			return w
		}
	}
	return nil
}

// put appends a want, unless it is there.
func (q *queue) put(w *want) {
	if !q.has(w) {
		q.note(w, q.order.PushBack(w))
	}
}

// putFirst makes a want the first.
func (q *queue) putFirst(w *want) {
	if e := q.at[w]; e != nil {
		q.order.MoveToFront(e)
		return
	}
	q.note(w, q.order.PushFront(w))
}

func (q *queue) note(w *want, e *list.Element) {
	if q.at == nil {
		q.at = make(map[*want]*list.Element)
	}
	q.at[w] = e
}

// remove takes a want out, if it is there.
func (q *queue) remove(w *want) {
	if e := q.at[w]; e != nil {
		q.order.Remove(e)
		delete(q.at, w)
	}
}
