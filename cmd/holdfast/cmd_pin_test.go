package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// pipeClient is a client of a handler in this process.
func pipeClient(t *testing.T, h http.Handler) *admin.Client {
	t.Helper()
	c := admin.NewLocalClient(h, func() error { return nil })
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// A display does not repeat what was true of a pin a moment ago.
func TestFollowForgetsWhatWas(t *testing.T) {
	states := []admin.Pin{
		{RequestID: "x", Status: pin.Pinning, Info: map[string]string{"status_details": "receiving blocks", "blocks": "7"}},
		{RequestID: "x", Status: pin.Failed},
	}
	a := pipeClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(states[0])
		states = states[1:]
	}))
	var stderr bytes.Buffer
	c := &cli{stderr: &stderr}
	err := c.follow(t.Context(), a, "", admin.Pin{RequestID: "x", Status: pin.Queued})
	if err == nil || err.Error() != "the pin failed: -" {
		t.Errorf("error is %v", err)
	}
	if want := "queued\npinning, 7 blocks, receiving blocks\n"; stderr.String() != want {
		t.Errorf("it shows %q, want %q", &stderr, want)
	}
}

func TestListShowsSizes(t *testing.T) {
	for bytes, want := range map[string]string{"": "-", "0": "0 B", "1536": "1.5 KiB", "many": "-"} {
		if got := pinSize(admin.Pin{Info: map[string]string{"bytes": bytes}}); got != want {
			t.Errorf("%q bytes are %q, want %q", bytes, got, want)
		}
	}
}
