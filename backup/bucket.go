package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// bucket is a place in S3, or in what speaks its API.
type bucket struct {
	client  *minio.Client
	read    *readBefore
	address string
	name    string
	prefix  string // "", or it ends with a slash
}

// openBucket opens what https://HOST/BUCKET/PREFIX names.
func openBucket(address string) (Place, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("s3:%s: %w", address, err)
	}
	name, prefix, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || name == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("a bucket is named as s3:https://HOST/BUCKET/PREFIX; keys are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	read := new(readBefore)
	keys := credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, read, &credentials.IAM{},
	})
	client, err := minio.New(u.Host, &minio.Options{Secure: u.Scheme == "https", Creds: keys})
	if err != nil {
		return nil, fmt.Errorf("s3:%s: %w", address, err)
	}
	b := &bucket{client: client, read: read, address: "s3:" + address, name: name}
	if prefix != "" {
		b.prefix = prefix + "/"
	}
	return b, nil
}

func (b *bucket) String() string { return b.address }

// ReadCredentials reads the files that the credentials of a bucket are in, which are else read when
// they are needed: a process that gives up rights calls it before. Without such files, and for a
// directory, it does nothing.
func ReadCredentials(p Place) {
	b, ok := p.(*bucket)
	if !ok {
		return
	}
	v, err := new(credentials.FileAWSCredentials).RetrieveWithCredContext(b.client.CredContext())
	if err == nil && v.Expiration.IsZero() { // else they are asked for again anyway
		b.read.Value = v
	}
}

// readBefore has the credentials that [ReadCredentials] read. The library reads files for each
// request, and goes on without credentials once it cannot.
type readBefore struct{ credentials.Value }

func (r *readBefore) Retrieve() (credentials.Value, error) { return r.Value, nil }

func (r *readBefore) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return r.Value, nil
}

func (r *readBefore) IsExpired() bool { return true } // a file that can be read goes first

// explain names the bucket, and makes what S3 says of a missing file an fs.ErrNotExist.
func (b *bucket) explain(err error, what, name string) error {
	if err == nil {
		return nil
	}
	if r := minio.ToErrorResponse(err); r.Code == "NoSuchKey" || r.StatusCode == http.StatusNotFound && r.Code != "NoSuchBucket" {
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return fmt.Errorf("%s %s in %s: %w", what, name, b.address, err)
}

func (b *bucket) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	_, err := b.client.PutObject(ctx, b.name, b.prefix+name, r, size, minio.PutObjectOptions{ContentType: "application/octet-stream"})
	return b.explain(err, "write", name)
}

// Commit implements [Place]. What a bucket has taken is durable.
func (b *bucket) Commit(ctx context.Context, name string, data []byte) error {
	return b.Put(ctx, name, int64(len(data)), bytes.NewReader(data))
}

func (b *bucket) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	o, err := b.client.GetObject(ctx, b.name, b.prefix+name, minio.GetObjectOptions{})
	if err == nil {
		_, err = o.Stat() // GetObject itself asks nothing
	}
	if err != nil {
		return nil, b.explain(err, "read", name)
	}
	return o, nil
}

func (b *bucket) List(ctx context.Context, prefix string) (names []string, err error) {
	for o := range b.client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, b.explain(o.Err, "list", prefix)
		}
		names = append(names, strings.TrimPrefix(o.Key, b.prefix))
	}
	slices.Sort(names)
	return names, ctx.Err()
}

func (b *bucket) Remove(ctx context.Context, name string) error {
	return b.explain(b.client.RemoveObject(ctx, b.name, b.prefix+name, minio.RemoveObjectOptions{}), "remove", name)
}
