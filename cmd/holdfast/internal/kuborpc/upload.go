package kuborpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"

	"github.com/ipfs/boxo/files"
)

// source is what is sent. It remembers why it could not be read: HTTP would only say that the
// connection ended.
type source struct {
	io.Reader
	mu  sync.Mutex
	err error
}

// Read implements [io.Reader].
func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
	return n, err
}

func (s *source) failed() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// send calls a command with files.
func (c *Client) send(ctx context.Context, command string, q url.Values, content files.Directory, through func(io.Reader) io.Reader) (*Answer, error) {
	form := files.NewMultiFileReader(content, true, false)
	return c.call(ctx, command, q, through(form), "multipart/form-data; boundary="+form.Boundary())
}

// Add adds one file or directory, and returns its CID. q has parameters of Kubo's add. What is
// sent goes through a reader of the caller's.
func (c *Client) Add(ctx context.Context, content files.Directory, q url.Values, through func(io.Reader) io.Reader) (cid string, err error) {
	a, err := c.send(ctx, "add", q, content, through)
	if err != nil {
		return "", err
	}
	defer a.Close()
	// The root comes last.
	if err := lines(a, func(added struct{ Hash string }) error {
		if added.Hash != "" {
			cid = added.Hash
		}
		return nil
	}); err != nil {
		return "", err
	}
	if cid == "" {
		return "", errors.New("the server did not say what it added")
	}
	return cid, nil
}

// Import adds the blocks of a CAR, and pins its roots, which it returns.
func (c *Client) Import(ctx context.Context, car files.Directory, q url.Values, through func(io.Reader) io.Reader) (roots []string, err error) {
	a, err := c.send(ctx, "dag/import", q, car, through)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	err = lines(a, func(line struct {
		Root *struct {
			Cid struct {
				Link string `json:"/"`
			}
			PinErrorMsg string
		}
	}) error {
		switch {
		case line.Root == nil:
		case line.Root.PinErrorMsg != "":
			return fmt.Errorf("pin the root %s: %s", line.Root.Cid.Link, line.Root.PinErrorMsg)
		default:
			roots = append(roots, line.Root.Cid.Link)
		}
		return nil
	})
	return roots, err
}

// Name gives what is pinned a name.
func (c *Client) Name(ctx context.Context, cid, name string) error {
	a, err := c.call(ctx, "pin/add", url.Values{"arg": {cid}, "name": {name}}, nil, "")
	if err != nil {
		return err
	}
	defer a.Close()
	_, err = io.Copy(io.Discard, a)
	return err
}
