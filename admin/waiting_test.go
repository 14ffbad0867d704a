package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// localClient makes a client of a handler in this process.
func localClient(t *testing.T, h http.Handler) *Client {
	t.Helper()
	c := NewLocalClient(h, func() error { return nil })
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// A client that waits for an answer says so after a while, once.
func TestSlowAnswersAreToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delay := silentWait - time.Millisecond
		c := localClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(delay)
			json.NewEncoder(w).Encode(ServerInfo{Running: true})
		}))
		c.waits = &waitTransport{Transport: c.http.Transport.(*http.Transport), name: func() string { return "the server" }}
		c.http.Transport = c.waits
		var told []string
		start := time.Now()
		c.TellWaiting(func(text string) { told = append(told, fmt.Sprint(text, " ", time.Since(start))) })
		ask := func() {
			t.Helper()
			start = time.Now()
			info, err := c.Server(t.Context())
			if err != nil || !info.Running {
				t.Fatalf("%+v, %v", info, err)
			}
		}
		ask()
		if len(told) > 0 {
			t.Errorf("told of a quick answer: %q", told)
		}
		delay = time.Minute
		ask()
		ask()
		if want := []string{fmt.Sprint("waiting for the server to answer ", silentWait)}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
