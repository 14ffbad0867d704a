// Package auth knows accounts, checks passwords, makes and checks tokens, and
// serves /api/auth. It keeps nothing on disk itself but the keys: accounts and
// tokens are kept by what implements [Accounts].
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
// # The JWTs
//
// RFC 7519, signed with HS256 (RFC 7518) and nothing else: the issuer is the
// only verifier, so there is no use for a public key. The header's kid names
// the key. Claims: iss, a random id of this instance, so that renaming the
// host ends no token; aud, which keeps refresh tokens from working as access
// tokens; sub, the account; sid, the record; jti, iat, nbf, and exp, which only
// a device token may lack.
package auth
