// Package auth knows accounts, checks passwords, makes and checks tokens, and
// serves /api/auth and /api/admin. It keeps nothing on disk itself but the keys:
// accounts, tokens, invitations and the audit record are kept by what
// implements [Accounts].
//
// # Accounts and tokens
//
// An account is a person or a program, known by an e-mail address. What it
// shows with each request is a JSON Web Token, and every JWT stands on a
// [Token]: a record that says the JWT still counts. A login makes a token of
// kind [Session], on which stand its access tokens and its refresh token. A
// token of kind [Device] is made for one program, such as a Kubo that stores
// one token and never refreshes it, and is its own only JWT.
//
// A JWT counts while its signature and its times are good, its record is
// there, and its account is there, is enabled, and has not ended tokens of that
// kind since ([Account.Allows]). All of that is looked at with every request:
// [Service.Verify] remembers what it found, and whatever could end a token
// makes it forget, so that a token is dead from the moment that the call which
// ended it returns.
//
// # Ending many tokens at once
//
// An account carries two counters, [Account.Sessions] and [Account.Devices],
// and a token the value that its kind's counter had when it was made. Counting
// up ends all tokens of that kind in one small commit, whether there are two
// or two million; the records that are left count for nothing and are swept
// later ([Service.Run]).
//
// What was begun with a token does not outlive it: the context of a request
// that came through [Middleware] ends with the token.
//
// # Scopes
//
// A device token may do less than its account: "read" looks, "pin" also adds
// and removes pins, "admin" does whatever the account may, as a session does.
// Only the last one, of an admin's account, reaches /api/admin.
//
// # Refresh tokens
//
// Those of a session are a chain: each works once, and gives the next. One that
// was used gives the same successor again for 30 seconds, since the reply may
// have been lost. After that, and for any link that is further back, it is in
// two hands, and the session is ended ([Service.Refresh]).
//
// # Keys
//
// Any number of keys check tokens, and one signs. [Service.RotateKeys] makes a
// new one, on the running service. The old one is kept for as long as a session
// that it signed for can last, and while a device token of it is there.
//
// # Tries
//
// [Limits] bound what one client can do: tries on one account from anywhere,
// tries from one address, and requests with one token. While somebody tries
// passwords on an account, its owner works on: with any token, and by logging in
// from where that succeeded before.
//
// # The audit record
//
// What happens to accounts is written in the same commit as the change itself,
// so that neither is there without the other, and a login waits for one sync
// only. Refused logins change nothing; they are written within seconds, and a
// flood of them is counted rather than kept one by one.
//
// # The JWTs
//
// RFC 7519, signed with HS256 (RFC 7518) and nothing else: the issuer is the
// only verifier, so there is no use for a public key. The header's kid names
// the key. Claims: iss, a random id of this instance, so that renaming the
// host ends no token; aud, which keeps refresh tokens from working as access
// tokens; sub, the account; sid, the record; jti, iat, nbf, and exp, which only
// a device token may lack.
package auth
