package moving

import (
	"cmp"
	"slices"
	"strings"
)

// Outcome is what became of a pin.
type Outcome string

// Words are the outcome as people read it.
func (o Outcome) Words() string { return strings.ReplaceAll(string(o), "_", " ") }

// The outcomes. Each pin of a source has one.
const (
	New      Outcome = "new"           // would be asked for, in a plan
	Pinned   Outcome = "pinned"        // asked for by this run or one before, and came meanwhile
	Here     Outcome = "here_before"   // was pinned at the target before the run
	Waiting  Outcome = "waiting"       // asked for, and not pinned yet
	Failed   Outcome = "failed"        // refused by the target, or failed there
	LeftOut  Outcome = "left_out"      // cannot come
	Again    Outcome = "listed_twice"  // the same as another pin of the source
	NotAsked Outcome = "not_asked_for" // the run ended before
)

// Outcomes lists them in the order in which people want to read them.
func Outcomes() []Outcome {
	return []Outcome{New, Pinned, Here, Waiting, Failed, LeftOut, Again, NotAsked}
}

// Trouble is a pin that did not come, or not whole, and why.
type Trouble struct {
	CID     string  `json:"cid"`
	Name    string  `json:"name,omitempty"`
	Outcome Outcome `json:"outcome"`
	Why     string  `json:"why"`
}

// maxTroubles bounds how many of them a report names. All are counted.
const maxTroubles = 100_000

// Report says what became of the pins of a source.
type Report struct {
	Listed   int             `json:"listed"` // at the source, as far as it listed them
	Outcomes map[Outcome]int `json:"outcomes"`
	Troubles []Trouble       `json:"troubles"` // never null; at most 100,000
}

// add counts a pin, and keeps why if that is not "".
func (r *Report) add(p Pin, o Outcome, why string) {
	r.Outcomes[o]++
	if why != "" {
		r.trouble(p, o, why)
	}
}

func (r *Report) trouble(p Pin, o Outcome, why string) {
	if len(r.Troubles) < maxTroubles {
		r.Troubles = append(r.Troubles, Trouble{shorten(p.CID), shorten(p.Name), o, shorten(why)})
	}
}

// shorten bounds a text of others that is kept to be shown.
func shorten(s string) string {
	const maxShown = 500 // bytes; nearly all CIDs and names that can be pinned are shorter
	if len(s) <= maxShown {
		return s
	}
	return strings.ToValidUTF8(s[:maxShown], "") + "..."
}

// Reason is why some pins have an outcome.
type Reason struct {
	Outcome Outcome
	Why     string
	Pins    int
	CID     string // of one of them
}

// Reasons sums up the troubles: by outcome, and within that the most frequent first.
func (r *Report) Reasons() []Reason {
	type key struct {
		Outcome
		why string
	}
	by := map[key]*Reason{}
	for _, t := range r.Troubles {
		k := key{t.Outcome, t.Why}
		if by[k] == nil {
			by[k] = &Reason{t.Outcome, t.Why, 0, t.CID}
		}
		by[k].Pins++
	}
	all := make([]Reason, 0, len(by))
	for _, one := range by {
		all = append(all, *one)
	}
	order := Outcomes()
	slices.SortFunc(all, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Outcome), slices.Index(order, b.Outcome)),
			cmp.Compare(b.Pins, a.Pins), cmp.Compare(a.Why, b.Why))
	})
	return all
}
