// Package auth knows accounts, checks passwords, and makes and checks tokens. It
// speaks no HTTP: package authhttp serves /api/auth, package admin /api/admin. It keeps
// only the signing keys on disk itself. What implements [Accounts] keeps accounts,
// tokens, invitations and the audit record.
//
// # Accounts and tokens
//
// An account is a person or a program, known by an e-mail address. With each
// request it sends a JSON Web Token. Every JWT stands on a [Token]: a record that
// says that the JWT still counts. To log in makes a token of kind [Session]. The
// access tokens and the refresh token of the session stand on it. A token of kind
// [Device] is made for one program, such as a Kubo that stores one token and never
// refreshes it. Only one JWT stands on it.
//
// A JWT counts while its signature and its times are good, its record exists, and
// its account exists, is enabled, and has not ended tokens of that kind since
// ([Account.Allows]). Every request is checked for all of that. [Service.Verify]
// remembers what it found. Whatever could end a token makes it forget, so a token is
// dead from the moment when the call that ended it returns.
//
// # Ending many tokens at once
//
// An account has two counters, [Account.Sessions] and [Account.Devices]. A token has
// the value that the counter of its kind had when the token was made. Counting up
// ends all tokens of that kind in one small commit, whether there are two or two
// million. The records that are left count for nothing, and are swept later
// ([Service.Run]).
//
// A request does not outlive its token: the context that [Service.Admit] returns ends
// with the token.
//
// # Scopes
//
// A device token may do less than its account. With "read" it can look. With "pin" it
// can also add and remove pins. With "admin" it can do whatever the account may, as a
// session can. Only a token with "admin", of an admin's account, reaches /api/admin.
//
// # Refresh tokens
//
// The refresh tokens of a session are a chain: each works once, and gives the next.
// For 30 seconds a token that was used gives the same successor again, because the
// reply may have been lost. A token that is used later than that, or is further back in
// the chain, is in two hands. It ends the session ([Service.Refresh]).
//
// # Keys
//
// Several keys check tokens, and one of them signs. [Service.RotateKeys] makes a new one
// while the service runs. The old key is kept for as long as a session that it signed
// can last, and while a device token that it signed exists.
//
// # Tries
//
// [Limits] bound what one client can do: tries on one account from anywhere, tries
// from one address, and requests with one token. While somebody tries passwords on an
// account, its owner can still use every token, and can still log in from networks
// where that succeeded before.
//
// # The audit record
//
// What happens to an account is recorded in the same commit as the change itself. So
// neither exists without the other, and to log in waits for one sync only. A refused
// login changes nothing. It is recorded within seconds. A flood of refusals is counted,
// not kept one by one.
//
// # The JWTs
//
// JWTs are as in RFC 7519, signed with HS256 (RFC 7518) and nothing else: only the issuer
// verifies them, so a public key has no use. The header's kid names the key. The claims
// are:
//
//   - iss, a random id of this instance, so that renaming the host ends no token;
//   - aud, which keeps refresh tokens from working as access tokens;
//   - sub, the account; sid, the record; jti, iat, nbf;
//   - exp, which only a device token may lack.
package auth
