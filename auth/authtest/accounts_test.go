package authtest_test

import (
	"testing"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authtest"
)

func TestAccounts(t *testing.T) {
	authtest.RunAccounts(t, func(*testing.T) (auth.Accounts, func() auth.Accounts, func()) {
		a := authtest.NewAccounts()
		return a, func() auth.Accounts {
			a = a.Reopen()
			return a
		}, func() { a.Close() }
	})
}
