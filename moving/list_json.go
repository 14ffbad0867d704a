package moving

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// jsonList reads the forms of JSON in which programs list pins.
type jsonList struct {
	in     *json.Decoder
	budget *budgetReader
	fn     func(Pin) error
	n      int // entries so far
	depth  int // of the value that is being read
}

// maxDepth is how deep pins may be in arrays and objects. Pages of results have 3.
const maxDepth = 8

// readJSON reads an array of pins, an object with one in it, or one object after the other. A
// pin is an object of the Pinning Services API, with or without its status, or what Kubo
// lists.
func readJSON(r io.Reader, fn func(Pin) error) error {
	budget := &budgetReader{r: r, left: 2 * maxEntry}
	l := jsonList{in: json.NewDecoder(budget), budget: budget, fn: fn}
	for {
		err := l.value(true)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func broken(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the list is not JSON as it should be: %w", err)
}

// value reads a pin, or an array of them. io.EOF says that there is no value.
func (l *jsonList) value(top bool) error {
	if l.depth++; l.depth > maxDepth {
		return broken(errors.New("it is nested too deep"))
	}
	defer func() { l.depth-- }()
	l.budget.left = 2 * maxEntry
	t, err := l.in.Token()
	if errors.Is(err, io.EOF) && top {
		return io.EOF
	}
	if err != nil {
		return broken(err)
	}
	switch t {
	case json.Delim('['):
		return l.array()
	case json.Delim('{'):
		return l.object()
	}
	return l.entry(entryJSON{}, fmt.Sprintf("it is %v, and no pin", t))
}

func (l *jsonList) array() error {
	for l.in.More() {
		if err := l.value(false); err != nil {
			return err
		}
	}
	if _, err := l.in.Token(); err != nil {
		return broken(err)
	}
	return nil
}

// entryJSON is what is known of a pin.
type entryJSON struct {
	pin  wirePin
	kind string // Kubo's type; "" if it is no list of Kubo's
}

// object reads the members of an object. Those that hold pins are read one by one.
func (l *jsonList) object() error {
	var e entryJSON
	isPin, held := false, false
	for l.in.More() {
		t, err := l.in.Token()
		if err != nil {
			return broken(err)
		}
		name, _ := t.(string) // a key is a string
		to := any(new(json.RawMessage))
		switch strings.ToLower(name) {
		case "results", "pins":
			held = true
			if err := l.value(false); err != nil {
				return err
			}
			continue
		case "keys": // of Kubo's pin ls
			held = true
			if err := l.keys(); err != nil {
				return err
			}
			continue
		case "pin":
			to, isPin = &e.pin, true
		case "cid":
			to, isPin = &e.pin.CID, true
		case "name":
			to = &e.pin.Name
		case "meta":
			to = &e.pin.Meta
		case "origins":
			to = &e.pin.Origins
		case "type":
			to = &e.kind
		}
		if err := l.in.Decode(to); err != nil {
			return broken(err)
		}
	}
	if _, err := l.in.Token(); err != nil {
		return broken(err)
	}
	if held && !isPin {
		return nil
	}
	why := ""
	if !isPin {
		why = "it has no cid"
	}
	return l.entry(e, why)
}

// keys reads {CID: {"Type", "Name"}}.
func (l *jsonList) keys() error {
	t, err := l.in.Token()
	if err != nil {
		return broken(err)
	}
	if t == nil { // null: there are none
		return nil
	}
	if t != json.Delim('{') {
		return broken(errors.New("keys is no object"))
	}
	for l.in.More() {
		l.budget.left = 2 * maxEntry
		t, err := l.in.Token()
		if err != nil {
			return broken(err)
		}
		var v struct{ Type, Name string }
		if err := l.in.Decode(&v); err != nil {
			return broken(err)
		}
		cid, _ := t.(string) // a key is a string
		if err := l.entry(entryJSON{wirePin{CID: cid, Name: v.Name}, v.Type}, ""); err != nil {
			return err
		}
	}
	if _, err := l.in.Token(); err != nil {
		return broken(err)
	}
	return nil
}

// entry passes a pin on. If why is not "", it is none.
func (l *jsonList) entry(e entryJSON, why string) error {
	l.n++
	p := e.pin.pin()
	p.LeftOut = why
	switch kind, _, _ := strings.Cut(e.kind, " "); {
	case why != "":
	case kind == "indirect":
		p.LeftOut = "it is pinned indirectly: it comes with its root"
	case kind == "direct":
		p = p.direct()
	}
	if p = p.checked(); p.LeftOut != "" && why+e.kind == "" {
		p.LeftOut = fmt.Sprintf("entry %d: %s", l.n, p.LeftOut)
	}
	return l.fn(p)
}
