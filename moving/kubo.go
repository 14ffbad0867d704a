package moving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Kubo is a Kubo, by its RPC. It is a [Source] and a [Dialer].
type Kubo struct{ api *api }

// NewKubo makes a client of a Kubo. Its address is a URL, or a multiaddr as Kubo writes it:
// /ip4/127.0.0.1/tcp/5001. It makes no request.
func NewKubo(s Server) (*Kubo, error) {
	if strings.HasPrefix(s.URL, "/") {
		u, err := urlOf(s.URL)
		if err != nil {
			return nil, err
		}
		s.URL = u
	}
	s.URL = strings.TrimSuffix(strings.TrimRight(s.URL, "/"), "/api/v0")
	a, err := s.open("Kubo")
	if err != nil {
		return nil, err
	}
	a.base.Path += "/api/v0"
	return &Kubo{a}, nil
}

// urlOf makes a URL of the multiaddr of an HTTP server.
func urlOf(text string) (string, error) {
	a, err := multiaddr.NewMultiaddr(text)
	if err != nil {
		return "", fmt.Errorf("the address: %w", err)
	}
	network, host, err := manet.DialArgs(a)
	if err != nil || !strings.HasPrefix(network, "tcp") {
		return "", errors.New("the address must be one of TCP, such as /ip4/127.0.0.1/tcp/5001")
	}
	for _, c := range a {
		if code := c.Protocol().Code; code == multiaddr.P_TLS || code == multiaddr.P_HTTPS {
			return "https://" + host, nil
		}
	}
	return "http://" + host, nil
}

// maxAddrs is how many addresses of a node a pin is given as origins. The PSA allows 20.
const maxAddrs = 8

// Each lists the pins: recursive ones, and direct ones as far as they can come. What is
// pinned indirectly comes with its root.
func (k *Kubo) Each(ctx context.Context, fn func(Pin) error) error {
	addrs, err := k.addrs(ctx)
	if err != nil {
		return err
	}
	for _, kind := range []string{"recursive", "direct"} {
		// Names were added to Kubo later; an older one ignores the parameter.
		query := url.Values{"type": {kind}, "names": {"true"}, "stream": {"true"}}
		seen := map[string]struct{}{} // a list that broke off is read again
		err := k.api.lines(ctx, http.MethodPost, "/pin/ls", query, func(line []byte) error {
			var one struct{ Cid, Name, Type, Message string }
			if err := json.Unmarshal(line, &one); err != nil {
				return fmt.Errorf("a line of Kubo's list cannot be read: %w", err)
			}
			if one.Cid == "" {
				return fmt.Errorf("a line of Kubo's list has no CID: %.200q", one.Message)
			}
			if _, again := seen[one.Cid]; again {
				return nil
			}
			if len(seen) == maxPins {
				return errTooMany
			}
			seen[one.Cid] = struct{}{}
			p := Pin{CID: one.Cid, Name: one.Name, Origins: addrs}
			if kind == "direct" {
				if p = p.direct(); p.LeftOut != "" {
					alone, err := k.alone(ctx, one.Cid)
					if err != nil {
						return err
					}
					if alone {
						p.LeftOut = ""
					}
				}
			}
			return fn(p)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addrs are the addresses of the node, public ones first.
func (k *Kubo) addrs(ctx context.Context) ([]string, error) {
	var id struct {
		ID        string
		Addresses []string
	}
	if err := k.api.read(ctx, http.MethodPost, "/id", nil, nil, nil, &id); err != nil {
		return nil, err
	}
	return bestAddrs(id.Addresses), nil
}

// bestAddrs are some addresses of a node, those first that are reached from the furthest.
func bestAddrs(all []string) []string {
	var public, private, local []string
	for _, text := range all {
		a, err := multiaddr.NewMultiaddr(text)
		if err != nil {
			continue
		}
		if _, err := a.ValueForProtocol(multiaddr.P_P2P); err != nil {
			continue
		}
		switch {
		case manet.IsIPLoopback(a):
			local = append(local, text)
		case manet.IsPublicAddr(a):
			public = append(public, text)
		default:
			private = append(private, text)
		}
	}
	best := append(append(public, private...), local...)
	return best[:min(len(best), maxAddrs)]
}

// alone reports whether a block that the node has links to no other.
func (k *Kubo) alone(ctx context.Context, cid string) (bool, error) {
	linked := false
	err := k.api.lines(ctx, http.MethodPost, "/refs", url.Values{"arg": {cid}, "max-depth": {"1"}, "offline": {"true"}}, func([]byte) error {
		linked = true
		return nil
	})
	if _, answered := errors.AsType[*AnswerError](err); answered {
		return false, nil // it cannot be read there
	}
	return !linked, err
}

// Dial makes the node connect to one of the target. Of several addresses of a node it takes
// the one that answers first.
func (k *Kubo) Dial(ctx context.Context, addrs []string) error {
	answer, err := k.api.send(ctx, http.MethodPost, "/swarm/connect", url.Values{"arg": addrs, "timeout": {"30s"}}, nil, nil)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}
