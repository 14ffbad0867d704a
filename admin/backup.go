package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
)

// Backups makes backups.
type Backups interface {
	// Backup makes one. It calls progress in one goroutine.
	Backup(ctx context.Context, in NewBackup, progress func(StoreProgress)) (Backup, error)
}

// NewBackup is a backup to make.
type NewBackup struct {
	// To is the path of a directory, or s3:https://HOST/BUCKET/PREFIX. "" is the configured
	// place, with the configured key.
	To         string `json:"to,omitempty"`
	KeyFile    string `json:"key_file,omitempty"`    // of an age identity; "" does not encrypt
	ServerKeys bool   `json:"server_keys,omitempty"` // also the files that make the server who it is
}

// Backup is a backup that was made.
type Backup struct {
	ID             string        `json:"id"`
	Place          string        `json:"place"`
	Began          time.Time     `json:"began"`  // the records are as they were then
	Blocks         uint64        `json:"blocks"` // that the backup has
	Bytes          uint64        `json:"bytes"`
	NewBlocks      uint64        `json:"new_blocks"` // that no earlier backup had
	NewBytes       uint64        `json:"new_bytes"`
	DamagedBlocks  uint64        `json:"damaged_blocks"`  // that pins need and that could not be read
	DamagedRecords uint64        `json:"damaged_records"` // that could not be read
	Elapsed        time.Duration `json:"elapsed"`         // nanoseconds
}

func (h handlers) backup(c echo.Context) error {
	var in NewBackup
	if err := authhttp.ReadJSON(c, &in); err != nil {
		return err
	}
	m := newMessages(c)
	done, err := h.Backups.Backup(c.Request().Context(), in, m.progress)
	return h.end(m, StoreMessage{Backup: &done}, err)
}

// Backup makes a backup. progress hears how it goes.
func (c *Client) Backup(ctx context.Context, in NewBackup, progress func(StoreProgress)) (done Backup, err error) {
	err = c.watch(ctx, call{method: http.MethodPost, path: backupPath, in: in}, func(m StoreMessage) error {
		switch {
		case m.Progress != nil:
			progress(*m.Progress)
		case m.Backup != nil:
			done = *m.Backup
		}
		return nil
	})
	return done, err
}
