package node

import (
	"fmt"
	"strings"
	"sync"
)

// originNote says why an origin is not connected to, for the user whose pin waits for it.
type originNote string

const (
	noteOther       originNote = "" // it may answer the next time
	notePrivate     originNote = "at a private address or one of this server's own, which is dialled only if the request surely came from there, or node.allow_private_addresses is on; waiting for a peer that connects to us"
	noteNoTransport originNote = "its transport is not spoken here"
	noteNoAddress   originNote = "no address of the peer is known"
	noteNoHTTP      originNote = "it is asked by HTTP, and node.http_retrieval is off"
	noteEmptyName   originNote = "no peer is found by this name"
	noteRelayed     originNote = "it is reached through a relay alone, which carries no blocks; waiting for a direct connection"
)

// maxNoted is how many origins a note names.
const maxNoted = 64

// originNotes puts the notes on a fetch's origins together. Methods may be called
// concurrently.
type originNotes struct {
	set func(note string)

	mu    sync.Mutex
	order []string // origins that have or had a note
	of    map[string]originNote
}

// put notes something on an origin; "" takes that back.
func (o *originNotes) put(origin string, note originNote) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was, known := o.of[origin]
	if was == note {
		return
	}
	if o.of == nil {
		o.of = make(map[string]originNote)
	}
	if !known {
		o.order = append(o.order, origin)
	}
	o.of[origin] = note
	o.set(o.text())
}

// text is one sentence for each kind of note.
func (o *originNotes) text() string {
	var sentences []string
	for _, note := range []originNote{notePrivate, noteNoTransport, noteNoAddress, noteNoHTTP, noteEmptyName, noteRelayed} {
		var about []string
		more := 0
		for _, origin := range o.order {
			switch {
			case o.of[origin] != note:
			case len(about) == maxNoted:
				more++
			default:
				about = append(about, origin)
			}
		}
		word := "origin "
		if len(about) > 1 {
			word = "origins "
		}
		if len(about) > 0 {
			s := word + strings.Join(about, ", ")
			if more > 0 {
				s += fmt.Sprintf(" and %d more", more)
			}
			sentences = append(sentences, s+": "+string(note))
		}
	}
	return strings.Join(sentences, "; ")
}
