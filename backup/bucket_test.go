package backup_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-ipfs/holdfast/backup"
)

// zeros is a file of so many zeros, which counts how often it is read once it is over.
type zeros struct {
	*io.SectionReader
	over  atomic.Bool
	after atomic.Int64
}

func (z *zeros) ReadAt(b []byte, off int64) (int, error) {
	if z.over.Load() {
		z.after.Add(1)
	}
	return z.SectionReader.ReadAt(b, off)
}

type noBytes struct{}

func (noBytes) ReadAt(b []byte, _ int64) (int, error) {
	clear(b)
	return len(b), nil
}

// A request that goes on after the library gave up does not read any more what it got: that may be memory which
// is gone. What is put in one request leaves no parts of it.
func TestPutTakesBack(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	over := make(chan struct{})                          // closed when the put has ended
	second, again := make(chan struct{}), new(sync.Once) // closed when the second part is asked for
	var begun atomic.Int64                               // uploads in parts
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch {
		case q.Has("location"):
			_, _ = io.WriteString(w, `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>`)
		case q.Has("uploads"):
			begun.Add(1)
			_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>`)
		case r.Method == http.MethodPut && q.Get("partNumber") == "2":
			again.Do(func() { close(second) })
			<-over
			_, _ = io.Copy(io.Discard, r.Body)
		case r.Method == http.MethodPut && q.Get("partNumber") == "1":
			<-second
			http.Error(w, "no", http.StatusForbidden)
		case r.Method == http.MethodPut:
			_, _ = io.Copy(io.Discard, r.Body)
		}
	}))
	p, err := backup.OpenPlace("s3:" + s.URL + "/bucket/backups")
	must(t, err)
	pack := bytes.Repeat([]byte("a pack"), 4<<20)
	must(t, p.Put(t.Context(), "pack", int64(len(pack)), bytes.NewReader(pack)))
	if begun.Load() != 0 {
		t.Error("a pack is put in parts")
	}
	const long = 512<<20 + 32<<20 // more than one request, whose last part is longer than what is on its way
	z := &zeros{SectionReader: io.NewSectionReader(noBytes{}, 0, long)}
	if err := p.Put(t.Context(), "long", long, z); err == nil {
		t.Error("a bucket that refuses a part takes the file")
	}
	z.over.Store(true)
	close(over)
	s.Close() // it waits for all requests
	if n := z.after.Load(); n > 0 {
		t.Errorf("it was read %d times after the put had ended", n)
	}
	if begun.Load() != 1 {
		t.Error("it was not put in parts")
	}
}

// The credentials of a bucket that were read before are used also when their file can no longer be
// read, as by a process that gave up root.
func TestCredentialsAreReadBefore(t *testing.T) {
	var mu sync.Mutex
	var signed []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		signed = append(signed, r.Header.Get("Authorization"))
		http.Error(w, "no", http.StatusForbidden)
	}))
	defer s.Close()
	home := t.TempDir()
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", home)
	file := filepath.Join(home, ".aws", "credentials")
	must(t, os.Mkdir(filepath.Dir(file), 0o700))
	must(t, os.WriteFile(file, []byte("[default]\naws_access_key_id = ofroot\naws_secret_access_key = secret\n"), 0o600))
	p, err := backup.OpenPlace("s3:" + s.URL + "/bucket/backups")
	must(t, err)
	backup.ReadCredentials(p)
	must(t, os.Remove(file))
	if _, err := p.List(t.Context(), ""); err == nil {
		t.Error("a bucket that refuses everything was listed")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(signed) == 0 || !strings.Contains(signed[0], "Credential=ofroot/") {
		t.Errorf("requests are signed by %q", signed)
	}
	backup.ReadCredentials(place(t)) // a directory needs none
}

// What a console makes for what it calls a folder is no file.
func TestFolderOfABucket(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Contents><Key>of/one/</Key></Contents><Contents><Key>of/one/a/b</Key></Contents></ListBucketResult>`)
	}))
	defer s.Close()
	p, err := backup.OpenPlace("s3:" + s.URL + "/bucket/of/one")
	must(t, err)
	if names, err := p.List(t.Context(), ""); err != nil || !slices.Equal(names, []string{"a/b"}) {
		t.Errorf("it lists %q: %v", names, err)
	}
}
