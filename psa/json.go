package psa

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// object splits a JSON object into its members. Unlike encoding/json it tells names apart by
// case, and refuses a name that comes twice, text that is not UTF-8, and half a surrogate
// pair. Each of these would read another document than the client meant. Inside a member a
// name may come twice. The errors say what is wrong with the document.
func object(data []byte) (map[string]jsontext.Value, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("is not valid UTF-8")
	}
	dec := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true))
	begin, err := dec.ReadToken()
	if err != nil {
		return nil, notJSON(err)
	}
	if begin.Kind() != jsontext.KindBeginObject {
		return nil, errors.New("must be a JSON object")
	}
	members := make(map[string]jsontext.Value)
	for {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, notJSON(err)
		}
		if name.Kind() == jsontext.KindEndObject {
			break
		}
		text := name.String() // the decoder uses its token again
		value, err := dec.ReadValue()
		if err != nil {
			return nil, notJSON(err)
		}
		if _, twice := members[text]; twice {
			return nil, fmt.Errorf("has %s twice", quote(text))
		}
		members[text] = value.Clone()
	}
	if _, err := dec.ReadToken(); err == nil {
		return nil, errors.New("is not valid JSON: something follows the object")
	} else if err != io.EOF {
		return nil, notJSON(err)
	}
	return members, nil
}

// notJSON says where a document stops being JSON.
func notJSON(err error) error {
	var bad *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("is not valid JSON: it ends early")
	case errors.As(err, &bad):
		return fmt.Errorf("is not valid JSON: after %d bytes: %w", bad.ByteOffset, bad.Err)
	}
	return fmt.Errorf("is not valid JSON: %w", err)
}

// stringMap reads a JSON object whose values are strings. Nil is an empty one.
func stringMap(data []byte) (map[string]string, error) {
	members, err := object(data)
	if err != nil {
		return nil, err
	}
	if len(members) == 0 {
		return nil, nil
	}
	m := make(map[string]string, len(members))
	for name, raw := range members {
		value, ok := jsonString(raw)
		if !ok {
			return nil, fmt.Errorf("the value of %s must be a string", quote(name))
		}
		m[name] = value
	}
	return m, nil
}

// stringList reads a JSON list of strings; ok is false if raw, which is valid JSON, is
// anything else.
func stringList(raw jsontext.Value) (list []string, ok bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(raw))
	if begin, err := dec.ReadToken(); err != nil || begin.Kind() != jsontext.KindBeginArray {
		return nil, false
	}
	for dec.PeekKind() == jsontext.KindString {
		t, err := dec.ReadToken()
		if err != nil {
			return nil, false
		}
		list = append(list, t.String())
	}
	return list, dec.PeekKind() == jsontext.KindEndArray
}

// jsonString reads a JSON string; ok is false if raw, which is valid JSON or left out, is
// anything else.
func jsonString(raw jsontext.Value) (s string, ok bool) {
	if raw.Kind() != jsontext.KindString {
		return "", false
	}
	b, err := jsontext.AppendUnquote(nil, raw)
	return string(b), err == nil
}

// isNull reports whether raw is left out or null.
func isNull(raw jsontext.Value) bool {
	return len(raw) == 0 || raw.Kind() == jsontext.KindNull
}

// isEmpty reports whether raw, which is valid JSON, is an object or a list, as begin says,
// with nothing in it.
func isEmpty(raw jsontext.Value, begin jsontext.Kind) bool {
	return raw.Kind() == begin && len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0
}

// quote returns s as it can be shown in details, whatever its length.
func quote(s string) string {
	const limit = 64 // characters: enough to recognize one's own value
	n := 0
	for i := range s {
		if n == limit {
			return strconv.Quote(s[:i]) + "..."
		}
		n++
	}
	return strconv.Quote(s)
}
