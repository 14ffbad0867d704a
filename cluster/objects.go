package cluster

import (
	"encoding/json"
	"errors"
	"io"
)

// objects reads a list of objects, one after the other. It takes no more memory than one of them
// may have: maxAnswer.
type objects struct {
	dec *json.Decoder
	in  boundedReader
}

func newObjects(r io.Reader) *objects {
	o := &objects{in: boundedReader{r: r}}
	o.dec = json.NewDecoder(&o.in)
	return o
}

// next reads the next object. Errors: io.EOF at the end of the list; errLong.
func (o *objects) next(out any) error {
	o.in.left = maxAnswer
	return o.dec.Decode(out)
}

// errLong: an object of a list is longer than it may be.
var errLong = errors.New("what is in the list is too long")

// boundedReader reads so many bytes, and fails then.
type boundedReader struct {
	r    io.Reader
	left int
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errLong
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
