package rpc

import (
	"net"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// refuseBrowsers refuses what a web page may have sent: nobody asked the people who look at the
// page. A page can send requests to the loopback address, and by a name of its own that leads
// there it can even read the answers.
func (l *Local) refuseBrowsers(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		for _, name := range []string{echo.HeaderOrigin, "Referer", "Sec-Fetch-Site"} {
			if r.Header.Get(name) != "" {
				return fail(http.StatusForbidden, codeForbidden, "web pages are refused here, and the request has the header %s of one", name)
			}
		}
		if strings.HasPrefix(r.UserAgent(), "Mozilla") {
			return fail(http.StatusForbidden, codeForbidden, "browsers are refused here")
		}
		if host := hostOf(r.Host); l.cfg.Host != nil && !l.cfg.Host(host) {
			return fail(http.StatusForbidden, codeForbidden, "the host %q is refused here: use the address of rpc.listen, or localhost", shorten(host))
		}
		return next(c)
	}
}

// hostOf is a Host header without its port.
func hostOf(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		return host
	}
	return strings.Trim(s, "[]")
}
