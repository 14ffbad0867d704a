package accounts

import (
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Kinds lists the kinds of records of this room, but for those without a value.
func Kinds() []kv.Kind {
	return []kv.Kind{
		{Prefix: KLogin, Name: "account", Check: kv.CheckRecord[loginRecord]},
		{Prefix: kEmail, Name: "address of an account", Check: kv.CheckLen(len(kv.Account{}))},
		{Prefix: KToken, Name: "token", Check: kv.CheckRecord[tokenRecord]},
		{Prefix: kInvite, Name: "invitation", Check: kv.CheckRecord[inviteRecord]},
		{Prefix: kEvent, Name: "event of the audit record", Check: kv.CheckRecord[eventRecord]},
	}
}

// OfTokens reports whether a kind of record is about tokens.
func OfTokens(kind byte) bool { return kind == KToken || kind == kAccountToken }

// OfNoAccount reports whether a kind of record is about the server, rather than about one
// account: invitations and the audit record.
func OfNoAccount(kind byte) bool { return kind == kInvite || kind == kEvent || kind == kAccountEvent }
