package moving

import "sync"

// maxQueued bounds the bytes of pins that were listed and not asked for yet. A list is read
// ahead as far as this: a Kubo holds its pins locked until its list is read, and a million of
// them without metadata fit.
const maxQueued = 256 << 20

// queue has the pins that were listed and not asked for yet.
type queue struct {
	mu     sync.Mutex
	change *sync.Cond
	pins   []queued
	size   int      // bytes
	last   []string // the origins of the last pin
	closed bool
}

type queued struct {
	Pin
	size int // bytes
}

func newQueue() *queue {
	q := &queue{}
	q.change = sync.NewCond(&q.mu)
	return q
}

// sizeOf is about how many bytes a pin takes. Pins of the same node share their origins, which
// count once then.
func (q *queue) sizeOf(p Pin) int {
	const (
		alone      = 150 // of its fields, and of its place in the queue
		stringHead = 16
	)
	n := alone + len(p.CID) + len(p.Name)
	for k, v := range p.Meta {
		n += len(k) + len(v)
	}
	if len(p.Origins) > 0 && (len(q.last) == 0 || &q.last[0] != &p.Origins[0]) {
		for _, o := range p.Origins {
			n += stringHead + len(o)
		}
	}
	return n
}

// add waits until there is room for a pin.
func (q *queue) add(p Pin) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.size > maxQueued {
		q.change.Wait()
	}
	size := q.sizeOf(p)
	q.pins = append(q.pins, queued{p, size})
	q.size += size
	q.last = p.Origins
	q.change.Broadcast()
}

// close says that no more pins are added.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.change.Broadcast()
}

// next waits for a pin. ok is false if the queue is closed and empty.
func (q *queue) next() (p Pin, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.pins) == 0 && !q.closed {
		q.change.Wait()
	}
	if len(q.pins) == 0 {
		return Pin{}, false
	}
	first := q.pins[0]
	q.pins[0] = queued{} // it may be collected
	q.pins = q.pins[1:]
	q.size -= first.size
	q.change.Broadcast()
	return first.Pin, true
}
