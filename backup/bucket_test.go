package backup_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-ipfs/holdfast/backup"
)

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
