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
	"sync"

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
	secure := u.Scheme == "https"
	transport, err := newTransport(secure)
	if err != nil {
		return nil, fmt.Errorf("s3:%s: %w", address, err)
	}
	client, err := minio.New(u.Host, &minio.Options{Secure: secure, Creds: keys, Transport: transport})
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

// putAtOnce is how long a file may be that is put in one request. A longer one comes in parts, and what is
// there of it after a crash is not listed, and stays. Packs and almost all lists are shorter.
const putAtOnce = 512 << 20

func (b *bucket) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	if seeker, ok := r.(readSeekerAt); ok { // as all that is put is, so that it can be put again
		l := &lent{r: seeker}
		defer l.takeBack()
		r = l
	}
	_, err := b.client.PutObject(ctx, b.name, b.prefix+name, r, size, minio.PutObjectOptions{ContentType: "application/octet-stream", PartSize: putAtOnce})
	return b.explain(err, "write", name)
}

type readSeekerAt interface {
	io.ReadSeeker
	io.ReaderAt
}

// lent is what a request reads. After an error the library, and HTTP, return while they may still read, and the
// memory of a pack goes then: so what is lent is taken back.
type lent struct {
	mu sync.Mutex
	r  readSeekerAt // nil once it was taken back
}

var errTakenBack = errors.New("the request has ended")

func (l *lent) takeBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r = nil
}

func (l *lent) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.r == nil {
		return 0, errTakenBack
	}
	return l.r.Read(b)
}

func (l *lent) ReadAt(b []byte, off int64) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.r == nil {
		return 0, errTakenBack
	}
	return l.r.ReadAt(b, off)
}

func (l *lent) Seek(offset int64, whence int) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.r == nil {
		return 0, errTakenBack
	}
	return l.r.Seek(offset, whence)
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
		if strings.HasSuffix(o.Key, "/") {
			continue // some consoles make it for what they call a folder
		}
		names = append(names, strings.TrimPrefix(o.Key, b.prefix))
	}
	slices.Sort(names)
	return names, ctx.Err()
}

func (b *bucket) Remove(ctx context.Context, name string) error {
	return b.explain(b.client.RemoveObject(ctx, b.name, b.prefix+name, minio.RemoveObjectOptions{}), "remove", name)
}
