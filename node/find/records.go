package find

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/ipfs/boxo/routing/http/types/ndjson"
)

// readable leaves records that cannot be read out of a router's answers. Boxo's client would
// take nothing behind such a record. An answer in which no record can be read is an error.
type readable struct {
	http.RoundTripper
	// unread is called with how many such records an answer had, and what is wrong with the
	// first.
	unread func(n int, first error)
}

// RoundTrip implements [http.RoundTripper].
func (t readable) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.RoundTripper.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		return answer, err
	}
	kind, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err != nil {
		return answer, nil // the client refuses it
	}
	switch kind {
	case "application/x-ndjson":
		answer.Body = &recordStream{from: bufio.NewReader(answer.Body), body: answer.Body, unread: t.unread}
	case "application/json":
		data, err := io.ReadAll(answer.Body) // bounded by what is below
		closed := answer.Body.Close()
		if err = errors.Join(err, closed); err != nil {
			return nil, err
		}
		if data, err = t.list(data); err != nil {
			return nil, err
		}
		answer.Body = io.NopCloser(bytes.NewReader(data))
	default:
		return answer, nil
	}
	answer.ContentLength = -1
	answer.Header.Del("Content-Length")
	return answer, nil
}

// list gives an answer that is one list, without the records that cannot be read. Boxo's
// client would take an answer that is no list for an empty one.
func (t readable) list(data []byte) ([]byte, error) {
	var list struct{ Providers []json.RawMessage }
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("the answer cannot be read: %w", err)
	}
	var good []json.RawMessage
	var first error
	for _, r := range list.Providers {
		if err := checkRecord(r); err == nil {
			good = append(good, r)
		} else if first == nil {
			first = err
		}
	}
	bad := len(list.Providers) - len(good)
	if bad == 0 {
		return data, nil
	}
	if len(good) == 0 {
		return nil, noneReadable(bad, first)
	}
	t.unread(bad, first)
	list.Providers = good
	return json.Marshal(list)
}

func noneReadable(n int, first error) error {
	return fmt.Errorf("none of %d records can be read: %w", n, first)
}

// checkRecord says what is wrong with a record.
func checkRecord(r []byte) error {
	records := ndjson.NewRecordsIter(bytes.NewReader(r))
	if !records.Next() {
		return io.ErrUnexpectedEOF
	}
	return records.Val().Err
}

// recordStream is a stream of records, one in a line, without those that cannot be read.
type recordStream struct {
	from   *bufio.Reader
	body   io.Closer
	unread func(int, error)

	line  []byte // the rest of a good record, which is being given
	good  int
	bad   int
	first error // what is wrong with the first bad one
}

// Read gives good records, each as soon as it is here.
func (s *recordStream) Read(b []byte) (int, error) {
	for len(s.line) == 0 {
		line, err := s.from.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			if wrong := checkRecord(line); wrong == nil {
				s.good++
				s.line = line
				break // the end of the stream comes again
			} else if s.bad++; s.first == nil {
				s.first = wrong
			}
		}
		if errors.Is(err, io.EOF) && s.bad > 0 && s.good == 0 {
			return 0, noneReadable(s.bad, s.first)
		}
		if err != nil {
			return 0, err
		}
	}
	n := copy(b, s.line)
	s.line = s.line[n:]
	return n, nil
}

// Close closes the answer.
func (s *recordStream) Close() error {
	if s.bad > 0 && s.good > 0 {
		s.unread(s.bad, s.first)
	}
	return s.body.Close()
}
