package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// A client whose connection breaks before the answer sends its request again with the same
// Idempotency-Key: also after the server was killed it has the request that was made.
func TestAnswerLost(t *testing.T) {
	ctx := within(t, 6*patience)
	d := newData(t)
	s := serve(t, d)
	c := login(t, s)
	body := fmt.Sprintf(`{"cid":%q,"name":"site"}`, nobodyHas(20_001))
	const every = "/api/psa/pins?status=queued,pinning,pinned,failed"
	count := func() int {
		var list rig.PinResults
		check(t, c.Do(ctx, http.MethodGet, every, nil, http.StatusOK, &list))
		return list.Count
	}

	// The request is sent, and its connection is closed.
	conn := must(net.Dial("tcp", strings.TrimPrefix(strings.TrimSuffix(s.HTTP, "/"), "http://")))(t)
	fmt.Fprintf(conn, "POST /api/psa/pins HTTP/1.1\r\nHost: holdfast\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nIdempotency-Key: \"lost\"\r\nContent-Length: %d\r\n\r\n%s", c.Token, len(body), body)
	check(t, conn.Close())
	for count() == 0 {
		if ctx.Err() != nil {
			t.Fatal("the request was not made")
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.Process.Kill()
	s = serve(t, d)
	c.Base = strings.TrimSuffix(s.HTTP, "/")

	var made rig.PinStatus
	for range 2 {
		again, status := postKeyed(t, ctx, c, body, "lost")
		if status != http.StatusAccepted || made.RequestID != "" && again.RequestID != made.RequestID {
			t.Errorf("status %d, request %s, want %s", status, again.RequestID, made.RequestID)
		}
		made = again
	}
	if n := count(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	if _, status := postKeyed(t, ctx, c, strings.Replace(body, "site", "other", 1), "lost"); status != http.StatusUnprocessableEntity {
		t.Errorf("another body under the key: status %d", status)
	}
}

// postKeyed sends a request to pin under an idempotency key.
func postKeyed(t *testing.T, ctx context.Context, c *rig.Client, body, key string) (made rig.PinStatus, status int) {
	t.Helper()
	req := must(http.NewRequestWithContext(ctx, http.MethodPost, c.Base+"/api/psa/pins", strings.NewReader(body)))(t)
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	res := must(http.DefaultClient.Do(req))(t)
	defer res.Body.Close()
	text := must(io.ReadAll(res.Body))(t)
	check(t, json.Unmarshal(text, &made))
	return made, res.StatusCode
}
