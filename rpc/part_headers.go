package rpc

import (
	"bytes"
	"io"
)

// maxPartHeader is what the header of a part may have: the path of a file, and where it was,
// each three times as long when it is escaped. What takes the parts apart goes over a path
// once for each directory in it.
const maxPartHeader = 64 << 10

// partHeaders passes a multipart body on, and fails at a part whose header is too long.
type partHeaders struct {
	r     io.Reader
	delim []byte // what is before the header of a part
	held  []byte // the end of what came, with which a delimiter or the end of a header may begin
	in    bool   // in a header
	n     int    // bytes of that
	buf   []byte
}

func newPartHeaders(r io.Reader, boundary string) *partHeaders {
	// The first delimiter is at the beginning of the body, the others at that of a line.
	return &partHeaders{r: r, delim: []byte("\n--" + boundary), held: []byte("\n")}
}

func (h *partHeaders) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.buf = append(append(h.buf[:0], h.held...), p[:n]...)
	if refused := h.scan(h.buf); refused != nil {
		return 0, refused
	}
	return n, err
}

// scan looks at what came, after what is held.
func (h *partHeaders) scan(data []byte) error {
	for {
		if !h.in {
			i := bytes.Index(data, h.delim)
			if i < 0 {
				h.hold(data, len(h.delim)-1)
				return nil
			}
			if len(data) == i+len(h.delim) {
				h.hold(data, len(h.delim))
				return nil
			}
			data = data[i+len(h.delim):]
			switch data[0] {
			case '\r', '\n', ' ', '\t':
				h.in, h.n = true, 0
			}
			continue
		}
		end := bytes.Index(data, []byte("\n\r\n"))
		if i := bytes.Index(data[:max(end, 0)], []byte("\n\n")); i >= 0 {
			end = i
		} else if end < 0 {
			end = bytes.Index(data, []byte("\n\n"))
		}
		const keep = 2 // of the three bytes of the longer end
		switch {
		case end >= 0:
			h.n += end
		case len(data) > keep:
			h.n += len(data) - keep
		}
		if h.n > maxPartHeader {
			return refuse("the header of a part of the body has more than the %d bytes that may be: a path may be too long", maxPartHeader)
		}
		if end < 0 {
			h.hold(data, keep)
			return nil
		}
		h.in = false
		data = data[end+1:] // with the newline that a delimiter may begin with
	}
}

func (h *partHeaders) hold(data []byte, n int) {
	h.held = append(h.held[:0], data[max(0, len(data)-n):]...)
}
