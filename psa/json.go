package psa

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// object splits a JSON object into its members. Unlike [json.Unmarshal] it
// tells names apart by case, and refuses a name that comes twice, text that is
// not UTF-8, and half a surrogate pair: each would make another document of
// what the client sent. Its errors say what is wrong with the document.
func object(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("is not valid UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return nil, fmt.Errorf("is not valid JSON: %w", err)
	}
	if halfSurrogate(data) {
		return nil, errors.New(`has half of a surrogate pair, such as \ud800, in a string`)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("must be a JSON object")
	}
	members := make(map[string]json.RawMessage)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("is not valid JSON: %w", err)
		}
		name, _ := t.(string) // the document is valid: a member's name is a string
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("is not valid JSON: %w", err)
		}
		if _, twice := members[name]; twice {
			return nil, fmt.Errorf("has %s twice", quote(name))
		}
		members[name] = value
	}
	return members, nil
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

// jsonString reads a JSON string; ok is false if raw is anything else.
func jsonString(raw json.RawMessage) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return s, json.Unmarshal(raw, &s) == nil
}

// isNull reports whether raw is left out or null.
func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// isEmptyObject reports whether raw, which is valid JSON, is {}.
func isEmptyObject(raw json.RawMessage) bool { return isEmpty(raw, '{', '}') }

// isEmptyList reports whether raw, which is valid JSON, is [].
func isEmptyList(raw json.RawMessage) bool { return isEmpty(raw, '[', ']') }

func isEmpty(raw json.RawMessage, open, end byte) bool {
	return len(raw) >= 2 && raw[0] == open && raw[len(raw)-1] == end &&
		len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0
}

// halfSurrogate reports whether a string in a valid JSON document escapes a
// UTF-16 surrogate without its other half.
func halfSurrogate(data []byte) bool {
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		i++ // in a valid document something follows; it is never a new escape
		first, ok := hex4(data[i:])
		if !ok {
			continue
		}
		i += 4
		if !utf16.IsSurrogate(first) {
			continue
		}
		if i+2 >= len(data) || data[i+1] != '\\' {
			return true
		}
		second, ok := hex4(data[i+2:])
		if !ok || utf16.DecodeRune(first, second) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

// hex4 reads a Unicode escape that begins at its u.
func hex4(b []byte) (rune, bool) {
	if len(b) < 5 || b[0] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[1:5]), 16, 16)
	return rune(n), err == nil
}

// quote gives s as it can be shown in details, whatever its length.
func quote(s string) string {
	const most = 64 // characters: enough to know one's own value again
	n := 0
	for i := range s {
		if n == most {
			return strconv.Quote(s[:i]) + "..."
		}
		n++
	}
	return strconv.Quote(s)
}
