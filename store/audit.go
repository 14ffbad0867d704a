package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
)

// maxReason bounds what an event keeps of why a pin failed, in bytes.
const maxReason = 300

// noteChange writes a change to a request into the audit record, in the same commit. The
// context's principal did it.
func (s *Store) noteChange(ctx context.Context, t *kv.Tx, c requests.Change) error {
	kinds := map[requests.ChangeKind]auth.EventKind{
		requests.Added: auth.EventPinAdded, requests.Replaced: auth.EventPinReplaced, requests.Removed: auth.EventPinRemoved,
		requests.Retried: auth.EventPinRetried, requests.Failed: auth.EventPinFailed,
	}
	e := auth.PinEvent(ctx, s.cfg.Now(), kinds[c.Kind], c.Account)
	e.Pin, e.CID, e.Count = c.Now.ID, c.Now.CID, c.Count
	name := ""
	if c.Now.Name != "" {
		name = fmt.Sprintf("name %q", c.Now.Name)
	}
	switch c.Kind {
	case requests.Replaced:
		e.Was, e.Detail = c.Was.ID, replacedDetail(c, name)
	case requests.Failed:
		e.Detail = strings.ToValidUTF8(c.Reason[:min(len(c.Reason), maxReason)], "")
	default:
		e.Detail = name
	}
	return s.accountRecords.NotePin(t, e)
}

// replacedDetail says what a request was before it was replaced.
func replacedDetail(c requests.Change, name string) string {
	if c.Was.Name != c.Now.Name {
		name = fmt.Sprintf("renamed from %q to %q", c.Was.Name, c.Now.Name)
	}
	if c.Was.CID == c.Now.CID {
		return name
	}
	was := "it was " + c.Was.CID
	if name != "" {
		was += ", " + name
	}
	return was
}
