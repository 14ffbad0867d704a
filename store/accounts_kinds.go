package store

import (
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// kindsOfAccounts is every kind of record of accounts whose value says something.
func kindsOfAccounts() []kind {
	return []kind{
		{Prefix: kLogin, Name: "account", Check: checkRecord[loginRecord]},
		{Prefix: kEmail, Name: "address of an account", Check: checkLen(len(kv.Account{}))},
		{Prefix: kToken, Name: "token", Check: checkRecord[tokenRecord]},
		{Prefix: kInvite, Name: "invitation", Check: checkRecord[inviteRecord]},
		{Prefix: kEvent, Name: "event of the audit record", Check: checkRecord[eventRecord]},
	}
}
