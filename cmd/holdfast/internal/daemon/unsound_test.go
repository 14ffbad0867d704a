package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics/metricstest"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// flipTables flips a bit in each part of the tables of a database.
func flipTables(t *testing.T, dir string) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "db", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("tables %v, %v", tables, err)
	}
	for _, path := range tables {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1)
		for at := int64(0); at < info.Size()/2; at += 4 << 10 {
			if _, err = f.ReadAt(b, at); err == nil {
				_, err = f.WriteAt([]byte{b[0] ^ 4}, at)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A table that gets damaged while the server runs refuses new pins, with words for the
// client, the operator and the monitor.
func TestTableDamagedWhileServing(t *testing.T) {
	const password = "correct horse battery"
	d := testDataDir(t)
	withCore(t, d, func(c *core) {
		if _, err := c.auth.AddAccount(t.Context(), auth.NewAccount{Email: "alice@example.org", Password: password}); err != nil {
			t.Fatal(err)
		}
		for n := range 500 { // so that there are tables with several parts
			if _, err := c.store.Add(t.Context(), uuid.NewString(), pintest.DAGSpec(n)); err != nil {
				t.Fatal(err)
			}
		}
	})
	p := &Program{Config: testConfig(), Data: d, Log: slog.New(slog.DiscardHandler), Machine: testMachine()}
	defer p.Close() // it may be an error that the database does not close
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"email":"alice@example.org","password":%q}`, password)
	answer, err := http.Post(p.URL()+"/api/auth/login", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var session struct {
		Access string `json:"access_token"`
	}
	err = json.NewDecoder(answer.Body).Decode(&session)
	if err := answer.Body.Close(); err != nil {
		t.Error(err)
	}
	if err != nil || session.Access == "" {
		t.Fatalf("login: %s, %v", answer.Status, err)
	}
	post := func() (*http.Response, string) {
		t.Helper()
		body := fmt.Sprintf(`{"cid":%q}`, pintest.DAGSpec(1000).CID)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL()+"/api/psa/pins", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+session.Access)
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer, string(text)
	}
	if answer, text := post(); answer.StatusCode != http.StatusAccepted {
		t.Fatalf("before: %s %s", answer.Status, text)
	}
	metricstest.Parse(t, scrape(t, p)).Want(t, 1, "holdfast_store_sound")
	flipTables(t, d.Shown)
	if _, err := p.core.store.Stats(t.Context()); err == nil || p.core.store.Sound() == nil {
		t.Fatalf("nothing is noticed: %v, %v", err, p.core.store.Sound())
	}
	answer, text := post()
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || !strings.Contains(text, "holdfast store verify") {
		t.Errorf("after: %s, Retry-After %q, %s", answer.Status, answer.Header.Get("Retry-After"), text)
	}
	if status, why := get(t, p.metricsURL+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(why, "damaged") {
		t.Errorf("readyz: %d %s", status, why)
	}
	metricstest.Parse(t, scrape(t, p)).Want(t, 0, "holdfast_store_sound")
}
