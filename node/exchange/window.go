package exchange

import "time"

const (
	// A window begins with this many asks, and doubles with each round of answers.
	windowStart = 64
	windowLeast = 4 // as long as some answers come
	// A peer keeps 1,024 wants of another (boxo's MaxQueuedWantlistEntriesPerPeer) and
	// drops what is more. What windowMost leaves of that is for questions.
	windowMost    = 768
	questionsMost = 232

	// What all lines together may have on its way. It waits in memory for the disk.
	bytesInFlight = 48 << 20
	// A line that has sent no block for so long counts as having nothing on its way.
	deliversFor = 10 * time.Second

	// If answers take longer than this, and than this many times the shortest time there
	// was, a wider window gains nothing: answers queue up.
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
	lossy   int           // so many asks at a time were all lost; 0 is never
}

func newWindow() window { return window{size: windowStart, most: windowMost} }

// answered notes an answer that came so long after it was asked for, while so many asks were
// open.
func (w *window) answered(after time.Duration, bytes, open int) {
	after = max(after, 1)
	const weight = 32 // of what was known before, against one new answer
	if w.latency == 0 {
		w.latency, w.least, w.bytes = after, after, max(bytes, 1)
	}
	w.least = min(w.least, after)
	w.latency += (after - w.latency) / weight
	if bytes > w.bytes { // all that is on its way may be so large
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

// lost shrinks the window: the peer may have been asked for too much.
func (w *window) lost() { w.size = max(windowLeast, w.size*3/4) }

// narrowed notes that so many asks were all lost.
func (w *window) narrowed(open int) {
	w.size = max(1, min(w.size, open)/narrowBy)
	w.lossy = open // one alone says nothing
}

// room is how many asks may be open while so many lines are in use.
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
