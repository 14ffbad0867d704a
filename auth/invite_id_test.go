package auth_test

import (
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// Clients that check their input refuse a UUID without a version and a variant.
func TestInvitationIDsAreUUIDs(t *testing.T) {
	f := newFixture(t)
	for range 64 {
		i, _, err := f.AddInvite(t.Context(), auth.NewInvite{})
		f.ok(err)
		id, err := uuid.Parse(i.ID)
		if err != nil || id.Version() != 8 || id.Variant() != uuid.RFC4122 {
			t.Fatalf("%s: version %d, variant %v, %v", i.ID, id.Version(), id.Variant(), err)
		}
	}
}

// Invitations whose IDs are the plain hash of their codes work until they expire.
func TestOldInvitationsWork(t *testing.T) {
	f := newFixture(t, func(c *auth.Config) { c.Registration = auth.RegistrationInvite })
	invite := func(code string) string {
		t.Helper()
		hash := sha256.Sum256([]byte(code))
		i := auth.Invite{ID: uuid.UUID(hash[:16]).String(), Created: f.clock.Now(), Expires: f.clock.Now().Add(time.Hour), Quota: 7}
		f.ok(f.accounts.CreateInvite(t.Context(), i))
		return i.ID
	}
	invite("OLDCODE")
	pair, err := f.Register(t.Context(), auth.NewRegistration{Email: "new@example.com", Password: goodPassword, Invite: " oldcode "})
	f.ok(err)
	if p, err := f.Verify(t.Context(), pair.Access); err != nil {
		t.Error(err)
	} else if a, err := f.AccountByID(t.Context(), p.Account); err != nil || a.Quota != 7 {
		t.Errorf("the account is %+v, %v", a, err)
	}
	_, err = f.Register(t.Context(), auth.NewRegistration{Email: "two@example.com", Password: goodPassword, Invite: "OLDCODE"})
	if !errors.Is(err, auth.ErrNoInvite) {
		t.Errorf("used twice: %v", err)
	}
	id := invite("OTHER")
	if _, err := f.RevokeInvite(t.Context(), id); err != nil {
		t.Error(err)
	}
}
