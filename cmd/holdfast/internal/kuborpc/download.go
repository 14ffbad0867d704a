package kuborpc

import (
	"context"
	"net/url"
)

// Export gives what a CID names as a CAR.
func (c *Client) Export(ctx context.Context, cid string) (*Answer, error) {
	return c.call(ctx, "dag/export", url.Values{"arg": {cid}, "progress": {"false"}}, nil, "")
}

// Get gives a file, directory or symlink as a TAR archive, whose first entry it is.
func (c *Client) Get(ctx context.Context, path string) (*Answer, error) {
	return c.call(ctx, "get", url.Values{"arg": {path}, "progress": {"false"}}, nil, "")
}

// Size gives about how many bytes the CAR of a CID has; 0 is not known.
func (c *Client) Size(ctx context.Context, cid string) (uint64, error) {
	a, err := c.call(ctx, "dag/stat", url.Values{"arg": {cid}, "progress": {"false"}}, nil, "")
	if err != nil {
		return 0, err
	}
	defer a.Close()
	var size uint64
	err = lines(a, func(line struct{ TotalSize uint64 }) error {
		size = line.TotalSize
		return nil
	})
	return size, err
}
