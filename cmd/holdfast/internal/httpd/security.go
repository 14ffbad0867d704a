package httpd

import "net/http"

// SecurityHeaders are in every answer. The API serves data and no pages: a browser is to run
// and frame nothing of it, and not to guess its type.
var SecurityHeaders = [...][2]string{
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
}

// transportSecurity makes browsers use TLS alone for a year, once they have used it.
const transportSecurity = "max-age=31536000"

// Secure sets the security headers of every answer. No header has the version of the server.
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
