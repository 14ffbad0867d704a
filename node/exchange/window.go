package exchange

import "time"

const (
	// A window begins with what one message of a slow start is worth, and doubles
	// with each round of answers.
	windowStart = 64
	windowLeast = 4 // while some answers come
	// A peer keeps 1,024 wants of another (boxo's MaxQueuedWantlistEntriesPerPeer) and
	// drops what is more; the rest of that is for questions who has a block.
	windowMost    = 768
	questionsMost = 232

	// What all lines together may have on its way, as it waits in memory for the
	// disk.
	bytesInFlight = 48 << 20
	// A line that sent no block for so long has nothing on its way.
	deliversFor = 10 * time.Second

	// Above this time to an answer, and this many times the least, a wider window
	// gains nothing: the answers queue up.
	latencyWide  = 250 * time.Millisecond
	latencyTimes = 4
)

// window is how many asks for blocks a line may have open.
type window struct {
	size    int
	most    int
	latency time.Duration // usual, to an answer; 0 while not known
	least   time.Duration // the shortest there was
	bytes   int           // usual size of a block; 0 while not known
	lossy   int           // so many at a time were all lost; 0 is that none were
}

func newWindow() window { return window{size: windowStart, most: windowMost} }

// answered takes note of an answer that came so long after it was asked for, while
// so many were open.
func (w *window) answered(after time.Duration, bytes, open int) {
	after = max(after, 1)
	const weight = 32 // of what was known before, against one new answer
	if w.latency == 0 {
		w.latency, w.least, w.bytes = after, after, max(bytes, 1)
	}
	w.least = min(w.least, after)
	w.latency += (after - w.latency) / weight
	if bytes > w.bytes { // what is on its way may all be so large
		w.bytes += (bytes - w.bytes + 3) / 4
	} else {
		w.bytes += (bytes - w.bytes) / weight
	}
	if open >= w.size/2 && w.latency < max(latencyWide, latencyTimes*w.least) {
		w.size = min(w.size+1, w.most)
	}
	if w.lossy > 1 {
		w.size = min(w.size, w.lossy-1)
	}
}

// lost narrows the window: the peer may have been asked for too much.
func (w *window) lost() { w.size = max(windowLeast, w.size*3/4) }

// narrowed takes note that all of so many were lost.
func (w *window) narrowed(open int) {
	w.size = max(1, min(w.size, open)/narrowBy)
	w.lossy = open // of one alone it says nothing
}

// room is how many may be open if so many lines are in use.
func (w *window) room(lines int) int {
	if w.bytes == 0 {
		return w.size
	}
	return min(w.size, max(1, bytesInFlight/(w.bytes*max(1, lines))))
}

// patience is how long an answer is waited for before it counts as lost.
func (w *window) patience() time.Duration {
	return min(max(lostAfter, lostLatencies*w.latency), patienceMost)
}
