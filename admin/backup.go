package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
)

// Backups makes backups, and restores them.
type Backups interface {
	// Backup makes one. It calls progress in one goroutine.
	Backup(ctx context.Context, in NewBackup, progress func(StoreProgress)) (Backup, error)
	// Restore restores one into what is here. It calls progress in one goroutine.
	Restore(ctx context.Context, in NewRestore, progress func(StoreProgress)) (Restored, error)
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

// NewRestore is a backup to restore.
type NewRestore struct {
	From    string `json:"from"` // as [NewBackup.To]
	KeyFile string `json:"key_file,omitempty"`
	ID      string `json:"id,omitempty"` // of the backup, or how it begins; "" is the newest
	// Accounts are addresses of accounts, and Requests are IDs of requests. If there are any,
	// nothing else is restored.
	Accounts      []string `json:"accounts,omitempty"`
	Requests      []string `json:"requests,omitempty"`
	WithoutTokens bool     `json:"without_tokens,omitempty"`
}

// Restored says what a restore brought back.
type Restored struct {
	Backup string `json:"backup"`
	Blocks uint64 `json:"blocks"` // that were written
	Bytes  uint64 `json:"bytes"`
	// In a running server: the accounts and requests that were made, and the requests that
	// were there already, or that could not be read when the backup was made.
	Accounts   uint64 `json:"accounts,omitempty"`
	Requests   uint64 `json:"requests,omitempty"`
	There      uint64 `json:"there,omitempty"`
	Unreadable uint64 `json:"unreadable,omitempty"`
	// Waiting is how many pins wait for blocks from the network.
	Waiting uint64 `json:"waiting,omitempty"`
	// Stuck is how many of them were pinned in the backup.
	Stuck uint64 `json:"stuck,omitempty"`
	// Made are the accounts that were made.
	Made []MadeAccount `json:"made,omitempty"`
	// LeftOut are accounts that cannot be read, are gone, or were removed here, and whose pins were
	// not restored.
	LeftOut []LeftOut `json:"left_out,omitempty"`
	// RevokedTokens is how many tokens were left out, as they were revoked here.
	RevokedTokens uint64 `json:"revoked_tokens,omitempty"`
	// LostRecords is records that could not be read when the backup was made, so it has none of them.
	LostRecords uint64 `json:"lost_records,omitempty"`
	// Missing is blocks that the backup should have and that could not be read.
	Missing      uint64        `json:"missing_blocks"`
	MissingNamed []string      `json:"missing_named,omitempty"` // the first of them
	Damaged      []DamagedFile `json:"damaged,omitempty"`       // files of the backup
}

// LeftOut is an account of a backup that was not restored, nor its pins.
type LeftOut struct {
	Account string `json:"account"` // its address, or its ID if that is not known
	Pins    uint64 `json:"pins"`
	Reason  string `json:"reason"`
	Removed bool   `json:"removed,omitempty"` // here, on purpose, so it is no fault
}

// MadeAccount is an account that a restore made.
type MadeAccount struct {
	Email string `json:"email"`
	Admin bool   `json:"admin,omitempty"`
}

// DamagedFile is a file of a backup that is not as it was written.
type DamagedFile struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
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

func (h handlers) restore(c echo.Context) error {
	var in NewRestore
	if err := authhttp.ReadJSON(c, &in); err != nil {
		return err
	}
	m := newMessages(c)
	done, err := h.Backups.Restore(c.Request().Context(), in, m.progress)
	return h.end(m, StoreMessage{Restored: &done}, err)
}

// Restore restores a backup into the server. progress hears how it goes.
func (c *Client) Restore(ctx context.Context, in NewRestore, progress func(StoreProgress)) (done Restored, err error) {
	err = c.watch(ctx, call{method: http.MethodPost, path: restorePath, in: in}, func(m StoreMessage) error {
		switch {
		case m.Progress != nil:
			progress(*m.Progress)
		case m.Restored != nil:
			done = *m.Restored
		}
		return nil
	})
	return done, err
}
