package psa

import (
	"net/http"
	"strings"

	"github.com/dunglas/httpsfv"
)

const (
	// headerIdempotencyKey is that of draft-ietf-httpapi-idempotency-key-header-07.
	headerIdempotencyKey = "Idempotency-Key"
	// maxIdempotencyKey bounds the bytes of a key. A UUID has 36, and no client that is
	// known sends more than a few hundred.
	maxIdempotencyKey = 255
)

// idempotencyKey reads the key that a client knows its request by; "" if it sent none. The
// draft has a string in quotes, whose parameters say nothing here. Many clients leave the
// quotes out, which is the same key. Errors: [*pin.InvalidError].
func idempotencyKey(h http.Header) (string, error) {
	given := h.Values(headerIdempotencyKey)
	if len(given) == 0 {
		return "", nil
	}
	if len(given) > 1 {
		return "", invalid(headerIdempotencyKey, "is given %d times; give it once", len(given))
	}
	key := strings.TrimSpace(given[0])
	if strings.HasPrefix(key, `"`) {
		item, err := httpsfv.UnmarshalItem(given)
		text, ok := item.Value.(string)
		if err != nil || !ok {
			return "", invalid(headerIdempotencyKey, `%s must be one string, such as "8e03978e-40d5-43dd-bc93-6894a57f9324"`, quote(key))
		}
		key = text
	} else if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == ',' }) {
		return "", invalid(headerIdempotencyKey, "%s must be in quotes, or have none but visible ASCII characters, and no comma", quote(key))
	}
	if key == "" {
		return "", invalid(headerIdempotencyKey, "is empty; leave it out, or give each request a key of its own")
	}
	if len(key) > maxIdempotencyKey {
		return "", invalid(headerIdempotencyKey, "has %d characters; the maximum is %d", len(key), maxIdempotencyKey)
	}
	return key, nil
}
