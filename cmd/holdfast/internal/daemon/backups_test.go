package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics/metricstest"
	"github.com/holdfast-ipfs/holdfast/logtest"
)

// A backup that failed, or that is old, warns where the server says that it is ready, and in the
// log.
func TestBackupsWarn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines logtest.Buffer
		log := NewLogger(&lines, config.Log{Level: "info", Format: "text"})
		b := &backups{cfg: config.Backup{To: "/x", Every: config.Duration(time.Hour)}, log: log}
		p := probes{
			sound: func() error { return nil }, openable: func() error { return nil }, backups: b.warning, logged: new(loggedState), log: log,
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.watch(ctx)
		}()
		expect := func(why string, logged int) {
			t.Helper()
			time.Sleep(2 * watchEvery)
			synctest.Wait()
			if got := b.warning(time.Now()); got != why {
				t.Errorf("the warning is %q, want %q", got, why)
			}
			if n := strings.Count(lines.String(), "there is no new backup"); n != logged {
				t.Errorf("it was logged %d times, want %d:\n%s", n, logged, &lines)
			}
		}
		expect("", 0) // nothing is known yet
		b.note(nil, os.ErrPermission)
		expect("the last backup failed, and there is no other", 1)
		b.note(&backup.Manifest{Begun: time.Now()}, nil)
		expect("", 1)
		time.Sleep(2 * time.Hour)
		b.note(nil, os.ErrPermission)
		expect("the last backup failed, and the newest is 2h0m0s old", 2)
		b.note(&backup.Manifest{Begun: time.Now(), DamagedBlocks: 1}, nil)
		expect("the last backup failed, and the newest is 2h1m0s old", 2)
		b.note(&backup.Manifest{Begun: time.Now()}, nil)
		expect("", 2)
		time.Sleep(3*time.Hour - watchEvery)
		expect("the newest backup is 3h0m0s old", 3)
		stop()
		<-ended
		b.cfg.Every = 0
		if got := b.warning(time.Now()); got != "" {
			t.Errorf("without a schedule the warning is %q", got)
		}
	})
}

// A first backup that never ends warns too, and every place that warns does so by the schedule.
func TestOldBackups(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		every       time.Duration
		since, last time.Duration // before now; 0 is never
		warning     string
	}{
		{time.Hour, 4 * time.Hour, 0, "no backup has come to its end within 3h0m0s"},
		{time.Hour, 2 * time.Hour, 0, ""},
		{time.Hour, time.Minute, 4 * time.Hour, "the newest backup is 4h0m0s old"},
		{time.Hour, 4 * time.Hour, 2 * time.Hour, ""},
		{30 * 24 * time.Hour, time.Minute, 20 * 24 * time.Hour, ""},
		{0, 0, 20 * 24 * time.Hour, ""}, // somebody makes them
		// The clock was set back since.
		{time.Hour, 4 * time.Hour, -24 * time.Hour, "no backup has come to its end within 3h0m0s"},
		{time.Hour, 2 * time.Hour, -24 * time.Hour, ""},
	} {
		b := &backups{cfg: config.Backup{To: "/x", Every: config.Duration(c.every)}}
		if c.since > 0 {
			b.since = now.Add(-c.since)
		}
		if c.last != 0 {
			b.state.Last = now.Add(-c.last)
		}
		if got := b.warning(now); got != c.warning {
			t.Errorf("%+v: the warning is %q", c, got)
		}
		if got := b.old(now); got != (c.warning != "") {
			t.Errorf("%+v: old is %v", c, got)
		}
	}
}

// The schedule makes backups, and its state is in the log, in the metrics and on /readyz.
func TestScheduledBackups(t *testing.T) {
	p, lines := testProgram(t, testDataDir(t))
	place := filepath.Join(t.TempDir(), "backups")
	p.Config.Backup.To = place
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines.Await(t, "backup made")
	for deadline := time.Now().Add(logtest.Patience); p.backups.State().Last.IsZero(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the state is not known")
		}
	}
	if status, body := get(t, p.URL()+"/readyz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("readyz answers %d %q", status, body)
	}
	m := metricstest.Parse(t, scrape(t, p))
	m.Want(t, 0, "holdfast_backup_failed")
	if p.backups.State().Last.Unix() < time.Now().Add(-logtest.Patience).Unix() {
		t.Errorf("the state is %+v", p.backups.State())
	}
	m.Want(t, float64(p.backups.State().Last.Unix()), "holdfast_backup_last_timestamp_seconds")
	p.backups.note(nil, os.ErrPermission)
	if status, body := get(t, p.URL()+"/readyz"); status != http.StatusOK || !strings.HasPrefix(body, "ok\nwarning: the last backup failed") {
		t.Errorf("readyz answers %d %q", status, body)
	}
	metricstest.Parse(t, scrape(t, p)).Want(t, 1, "holdfast_backup_failed")
}

// scheduledBackups are the backups of a server whose schedule the test has, with their log.
func scheduledBackups(t *testing.T, place string, keep int) (again func() *backups, lines *logtest.Buffer) {
	t.Helper()
	p, _ := testProgram(t, testDataDir(t))
	p.Config.Backup.Every = 0
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Config.Backup = config.Backup{To: place, Every: config.Duration(time.Hour), KeepLast: keep}
	lines = new(logtest.Buffer)
	log := NewLogger(lines, config.Log{Level: "info", Format: "text"})
	return func() *backups { return newBackups(p.core, p.Data, p.Config, "", OpenPlace, log) }, lines
}

// A backup that lacks something is no good one after a restart, either.
func TestBackupThatLacksSomething(t *testing.T) {
	place := t.TempDir()
	again, _ := scheduledBackups(t, place, 1)
	if !again().once(t.Context()) {
		t.Fatal("no backup was made")
	}
	rewriteManifest(t, place, func(m *backup.Manifest) { m.DamagedBlocks = 1 })
	b := again()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.run(ctx)
	}()
	for deadline := time.Now().Add(logtest.Patience); !b.State().Failed; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the state is %+v", b.State())
		}
	}
	stop()
	<-ended
	if !b.State().Last.IsZero() {
		t.Errorf("the state is %+v", b.State())
	}
}

// rewriteManifest changes the only manifest at a place. One of format 1 has no hash of its own.
func rewriteManifest(t *testing.T, place string, change func(*backup.Manifest)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(place, "*", "manifest.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("there are %v: %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	m := new(backup.Manifest)
	if err == nil {
		err = json.Unmarshal(text, m)
	}
	m.Format = 1
	change(m)
	if err == nil {
		text, err = json.Marshal(m)
	}
	if err == nil {
		err = os.WriteFile(files[0], text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// When the disk of the backups is not mounted, the schedule does not begin anew beside it, also after a restart.
// Somebody who asks for a backup gets it.
func TestBackupsWhoseDiskIsGone(t *testing.T) {
	place := t.TempDir()
	again, lines := scheduledBackups(t, place, 1)
	if !again().once(t.Context()) {
		t.Fatal("no backup was made")
	}
	if err := os.Rename(place, place+".disk"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(place, 0o700); err != nil {
		t.Fatal(err)
	}
	b := again()
	if b.once(t.Context()) {
		t.Error("a backup was made where there were some")
	}
	if !strings.Contains(lines.String(), "look whether its disk is mounted") {
		t.Errorf("the log has:\n%s", lines)
	}
	if left, err := os.ReadDir(place); err != nil || len(left) > 0 {
		t.Errorf("there are %v: %v", left, err)
	}
	if why := b.warning(time.Now()); why != "the last backup failed, and there is no other" {
		t.Errorf("the warning is %q", why)
	}
	if _, err := b.Backup(t.Context(), admin.NewBackup{}, func(admin.StoreProgress) {}); err != nil {
		t.Error(err)
	}
	if !b.once(t.Context()) {
		t.Error("no backup is made where there are some")
	}
}

// Nothing is removed while a backup is restored: it may be that one.
func TestNoPruneBesideARestore(t *testing.T) {
	place := t.TempDir()
	again, _ := scheduledBackups(t, place, 1)
	b := again()
	for range 2 {
		if _, err := b.Backup(t.Context(), admin.NewBackup{}, func(admin.StoreProgress) {}); err != nil {
			t.Fatal(err)
		}
	}
	count := func() int {
		files, err := filepath.Glob(filepath.Join(place, "*", "manifest.json"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	end, err := b.begin("a restore from somewhere")
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Backup(t.Context(), admin.NewBackup{}, func(admin.StoreProgress) {})
	if !errors.Is(err, errBackupRuns) || !strings.Contains(err.Error(), "a restore from somewhere, since 20") {
		t.Errorf("beside a restore: %v", err)
	}
	b.prune(t.Context())
	if n := count(); n != 2 {
		t.Errorf("beside a restore %d backups are left of 2", n)
	}
	end()
	if b.prune(t.Context()); count() != 1 {
		t.Errorf("there are %d backups", count())
	}
}
