package pin

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxCopies bounds how many copies may be asked for: more is a typing error.
const maxCopies = 1000

// Replication is how many copies of a DAG there are to be. A DAG counts as pinned with Min of
// them. The cluster begins with Max, if it has so many peers with room. The zero value says
// nothing.
type Replication struct{ Min, Max int }

var errReplication = fmt.Errorf("want a number of copies such as \"2\", or the fewest and the most such as \"2-3\", from 1 to %d", maxCopies)

// ParseReplication reads "2", or "2-3". "" is the zero value.
func ParseReplication(s string) (r Replication, err error) {
	if s == "" {
		return r, nil
	}
	low, high, two := strings.Cut(s, "-")
	if !two {
		high = low
	}
	for i, text := range []string{low, high} {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxCopies || strconv.Itoa(n) != text {
			return Replication{}, errReplication
		}
		*[]*int{&r.Min, &r.Max}[i] = n
	}
	if r.Max < r.Min {
		return Replication{}, errors.New("the first number is larger than the second; " + errReplication.Error())
	}
	return r, nil
}

// String is what [ParseReplication] reads.
func (r Replication) String() string {
	switch {
	case r == Replication{}:
		return ""
	case r.Min == r.Max:
		return strconv.Itoa(r.Min)
	}
	return fmt.Sprintf("%d-%d", r.Min, r.Max)
}

// With is the replication that suffices for both.
func (r Replication) With(other Replication) Replication {
	return Replication{max(r.Min, other.Min), max(r.Max, other.Max)}
}
