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
	pins   []Pin
	size   int // bytes
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.change = sync.NewCond(&q.mu)
	return q
}

// sizeOf is about how many bytes a pin takes. Origins are shared by the pins of a node.
func sizeOf(p Pin) int {
	const alone = 150 // of its fields, and of its place in the queue
	n := alone + len(p.CID) + len(p.Name)
	for k, v := range p.Meta {
		n += len(k) + len(v)
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
	q.pins = append(q.pins, p)
	q.size += sizeOf(p)
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
	p = q.pins[0]
	q.pins[0] = Pin{} // it may be collected
	q.pins = q.pins[1:]
	q.size -= sizeOf(p)
	q.change.Broadcast()
	return p, true
}
