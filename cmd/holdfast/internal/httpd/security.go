package httpd

import "net/http"

// SecurityHeaders are those of every answer. The API serves data and no pages:
// nothing of it is to be run, framed or guessed at by a browser.
var SecurityHeaders = [...][2]string{
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
}

// transportSecurity keeps browsers on TLS for a year, once they had it.
const transportSecurity = "max-age=31536000"

// Secure sets the security headers of every answer. Which program serves, and
// of which version, is told to nobody.
func Secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		for _, kv := range SecurityHeaders {
			h[kv[0]] = []string{kv[1]}
		}
		if r.TLS != nil {
			h["Strict-Transport-Security"] = []string{transportSecurity}
		}
		next.ServeHTTP(w, r)
	})
}
