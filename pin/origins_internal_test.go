package pin

import "testing"

// A job waits for the peer of its origin, however its id is written there.
func TestPeerOfAnOrigin(t *testing.T) {
	const id = "12D3KooWGjMCwmf2JqsSg8JRLLoRNvTUfJkS8SYzN4jvTLNGHrWn"
	for origin, want := range map[string]string{
		"/ip4/127.0.0.1/tcp/1/p2p/" + id:                                      id,
		"/ip4/127.0.0.1/tcp/1/p2p/" + id + "/":                                id,
		"/ip4/127.0.0.1/tcp/1/ipfs/" + id:                                     id,
		"/p2p/k51qzi5uqu5diqra1u1atjn213coj9adgw5uo13r2na6kx3l16sgraydb8xbeb": id,
		"/ip4/127.0.0.1/tcp/1":                                                "",
		"/p2p/" + id + "/p2p-circuit":                                         "",
		"nonsense":                                                            "",
		"":                                                                    "",
	} {
		if got := peerOf(origin); got != want {
			t.Errorf("%q: %q, want %q", origin, got, want)
		}
	}
}
