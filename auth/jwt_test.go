package auth_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"hash"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/holdfast-ipfs/holdfast/auth"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func unb64(t testing.TB, s string) map[string]any {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTokenClaims(t *testing.T) {
	f := newFixture(t)
	pair := f.login()
	_, forever := f.device()
	_, brief, err := f.CreateDeviceToken(t.Context(), f.ann.ID, "brief", time.Minute)
	f.ok(err)
	now := f.clock.Now().Unix()
	for name, c := range map[string]struct {
		raw, aud string
		exp      any
	}{
		"access":       {pair.Access, "holdfast", float64(now + 30*24*3600)},
		"refresh":      {pair.Refresh, "holdfast/refresh", float64(now + 90*24*3600)},
		"device":       {forever, "holdfast", nil},
		"brief device": {brief, "holdfast", float64(now + 60)},
	} {
		parts := strings.Split(c.raw, ".")
		header, claims := unb64(t, parts[0]), unb64(t, parts[1])
		want := map[string]any{"alg": "HS256", "typ": "JWT", "kid": auth.KeyID(f.keys)}
		if !maps.Equal(header, want) {
			t.Errorf("%s: header %v, want %v", name, header, want)
		}
		if toJSON(t, claims["aud"]) != toJSON(t, []string{c.aud}) || claims["exp"] != c.exp ||
			claims["iss"] != auth.Instance(f.keys) || claims["sub"] != f.ann.ID ||
			claims["iat"] != float64(now) || claims["nbf"] != float64(now-60) ||
			claims["jti"] == "" || claims["sid"] == "" {
			t.Errorf("%s: claims %v", name, claims)
		}
	}
}

// TestHostileTokens sends tokens that the server did not make. A good token that is made in the
// same way works, so each of the others is refused for what is wrong with it.
func TestHostileTokens(t *testing.T) {
	f := newFixture(t)
	pair := f.login()
	device, deviceRaw := f.device()
	parts := strings.Split(pair.Access, ".")
	header, claims := unb64(t, parts[0]), unb64(t, parts[1])
	now := f.clock.Now()

	// with returns claims with one changed; nil removes it.
	with := func(name string, value any) map[string]any {
		c := maps.Clone(claims)
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return c
	}
	kid := map[string]any{"kid": header["kid"]}
	forge := func(c map[string]any) string { return auth.Forge(f.keys, kid, c) }
	f.counts(forge(claims))
	f.counts(deviceRaw)

	sign := func(h func() hash.Hash, key []byte, text string) string {
		m := hmac.New(h, key)
		m.Write([]byte(text))
		return text + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	f.ok(err)
	rs := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims(claims))
	rs.Header["kid"] = header["kid"]
	rs256, err := rs.SignedString(rsaKey)
	f.ok(err)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)})
	head := func(alg string) string {
		return b64(toJSON(t, map[string]any{"alg": alg, "typ": "JWT", "kid": header["kid"]}))
	}
	otherInstance := auth.Forge(newKeys(t), kid, claims)
	// A kept key is good only under its own kid.
	before := auth.Forge(f.keys, kid, claims)
	_, err = f.RotateKeys(t.Context(), false)
	f.ok(err)
	f.counts(before)
	underOldKid := auth.Forge(f.keys, kid, claims)
	kid = map[string]any{"kid": auth.KeyID(f.keys)}

	hostile := map[string]string{
		"empty":                     "",
		"dots":                      "..",
		"not a token":               "hello",
		"alg none":                  head("none") + "." + parts[1] + ".",
		"alg None with signature":   head("None") + "." + parts[1] + "." + parts[2],
		"alg none, own signature":   head("none") + "." + parts[1] + "." + parts[2],
		"no alg":                    b64(`{"kid":"`+header["kid"].(string)+`"}`) + "." + parts[1] + "." + parts[2],
		"alg RS256":                 rs256,
		"HS256 by an RSA key's PEM": sign(sha256.New, public, head("HS256")+"."+parts[1]),
		"HS512 of the same text":    sign(sha512.New, public, head("HS512")+"."+parts[1]),
		"HS512 by the right key":    auth.ForgeAs(jwt.SigningMethodHS512, f.keys, kid, claims),
		"RS256 named, HS256 made":   head("RS256") + "." + parts[1] + "." + parts[2],
		"HS256 by the empty key":    sign(sha256.New, nil, head("HS256")+"."+parts[1]),
		"another instance's key":    otherInstance,
		"kid of an older key":       underOldKid,
		"kid unknown":               auth.Forge(f.keys, map[string]any{"kid": "other"}, claims),
		"kid a path":                auth.Forge(f.keys, map[string]any{"kid": "../../dev/null"}, claims),
		"kid empty":                 auth.Forge(f.keys, map[string]any{"kid": ""}, claims),
		"kid missing":               auth.Forge(f.keys, nil, claims),
		"kid a number":              auth.Forge(f.keys, map[string]any{"kid": 1}, claims),
		"iss another":               forge(with("iss", "other")),
		"iss missing":               forge(with("iss", nil)),
		"aud another":               forge(with("aud", "other")),
		"aud refresh":               forge(with("aud", []string{"holdfast/refresh"})),
		"aud missing":               forge(with("aud", nil)),
		"aud empty":                 forge(with("aud", []string{})),
		"the refresh token":         pair.Refresh,
		"expired":                   forge(with("exp", now.Add(-time.Second).Unix())),
		"expires now":               forge(with("exp", now.Unix())),
		"exp missing":               forge(with("exp", nil)),
		"exp a string":              forge(with("exp", "tomorrow")),
		"exp NaN-like":              forge(with("exp", -1e300)),
		"not valid yet":             forge(with("nbf", now.Add(time.Minute).Unix())),
		"nbf missing":               forge(with("nbf", nil)),
		"sub another":               forge(with("sub", device.ID)),
		"sub missing":               forge(with("sub", nil)),
		"sid missing":               forge(with("sid", nil)),
		"sid another":               forge(with("sid", f.ann.ID)),
		"jti missing":               forge(with("jti", nil)),
		"claims edited":             parts[0] + "." + b64(toJSON(t, with("sub", "someone"))) + "." + parts[2],
		"claims null":               parts[0] + "." + b64("null") + "." + parts[2],
		"claims of the device":      parts[0] + "." + strings.Split(deviceRaw, ".")[1] + "." + parts[2],
		"signature missing":         parts[0] + "." + parts[1] + ".",
		"signature cut":             pair.Access[:len(pair.Access)-1],
		"half":                      pair.Access[:len(pair.Access)/2],
		"two parts":                 parts[0] + "." + parts[1],
		"four parts":                pair.Access + "." + parts[2],
		"a tail":                    pair.Access + "A",
		"padding":                   pair.Access + "=",
		"line break in signature":   pair.Access[:len(pair.Access)-5] + "\n" + pair.Access[len(pair.Access)-5:],
		"line break at the end":     pair.Access + "\r\n",
		"space at the end":          pair.Access + " ",
		"1 MB of dots":              strings.Repeat(".", 1<<20),
		"1 MB of header":            strings.Repeat("A", 1<<20) + "." + parts[1] + "." + parts[2],
		"1 MB that is signed":       forge(with("pad", strings.Repeat("a", 1<<20))),
		"8 KiB that are signed":     forge(with("pad", strings.Repeat("a", 8<<10))),
	}
	// The last character has two bits that are not part of the signature.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, c := range alphabet {
		if other := pair.Access[:len(pair.Access)-1] + string(c); other != pair.Access {
			hostile["last character "+string(c)] = other
		}
	}
	for name, raw := range hostile {
		if p, err := f.Verify(t.Context(), raw); !errors.Is(err, auth.ErrUnauthorized) || p != (auth.Principal{}) {
			t.Errorf("%s: %+v, %v; want %v", name, p, err, auth.ErrUnauthorized)
		} else if len(raw) > 10 && strings.Contains(err.Error(), raw) {
			t.Errorf("%s: the error holds the token", name)
		}
		if name == "the refresh token" || name == "aud refresh" {
			continue // these are refresh tokens; the second one ends the session
		}
		if _, err := f.Refresh(t.Context(), raw); !errors.Is(err, auth.ErrUnauthorized) {
			t.Errorf("%s: refreshed, %v", name, err)
		}
	}
	_, err = f.Refresh(t.Context(), pair.Access)
	f.is(err, auth.ErrUnauthorized)
	_, err = f.Refresh(t.Context(), deviceRaw)
	f.is(err, auth.ErrUnauthorized)
	f.counts(pair.Access)
	_, err = f.Refresh(t.Context(), pair.Refresh)
	f.ok(err)
}

// FuzzVerify: only the exact strings that were given out count.
func FuzzVerify(f *testing.F) {
	x := newFixture(f)
	pair, err := x.Login(f.Context(), "ann@example.com", goodPassword)
	if err != nil {
		f.Fatal(err)
	}
	_, device, err := x.CreateDeviceToken(f.Context(), x.ann.ID, "kubo", 0)
	if err != nil {
		f.Fatal(err)
	}
	good := []string{pair.Access, device}

	// An edit replaces n bytes of a token at a position by with.
	f.Add(uint8(0), uint16(0), uint16(0), "")
	f.Add(uint8(1), uint16(10), uint16(1), "A")
	f.Add(uint8(0), uint16(len(pair.Access)-1), uint16(1), "B")
	f.Add(uint8(0), uint16(len(pair.Access)), uint16(0), "=")
	f.Add(uint8(0), uint16(20), uint16(0), "\n")
	f.Add(uint8(1), uint16(0), uint16(65535), b64(`{"alg":"none"}`)+"."+b64(`{"sub":"x"}`)+".")
	f.Fuzz(func(t *testing.T, which uint8, at, n uint16, with string) {
		raw := good[int(which)%len(good)]
		from := min(int(at), len(raw))
		to := min(from+int(n), len(raw))
		edited := raw[:from] + with + raw[to:]
		auth.ForgetSeen(x.Service)
		p, err := x.Verify(t.Context(), edited)
		given := edited == good[0] || edited == good[1]
		if given && (err != nil || p.Account != x.ann.ID) {
			t.Errorf("a token that was given out: %+v, %v", p, err)
		}
		if !given && !errors.Is(err, auth.ErrUnauthorized) {
			t.Errorf("%q counts: %+v, %v", edited, p, err)
		}
	})
}
