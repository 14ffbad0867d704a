package node

import (
	"bytes"
	"crypto/sha3"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/crypto/salsa20"
)

// A private network is made of the peers that have one key in common, by which
// every connection is encrypted once more: others cannot even say hello. QUIC,
// WebTransport and WebRTC bring their own encryption and do not work with it.

// errForced: the environment wants a private network.
var errForced = fmt.Errorf("%s is set, and there is no swarm key: put one in the data directory as swarm.key, or name it in node.swarm_key", pnet.EnvKey)

// loadSwarmKey reads the key of a private network, in the form of Kubo's
// swarm.key (/key/swarm/psk/1.0.0/). An empty path is the public network, which
// is an error if the environment forces a private one.
func loadSwarmKey(path string) (pnet.PSK, error) {
	if path == "" {
		if pnet.ForcePrivateNetwork {
			return nil, errForced
		}
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key of the private network: %w", err)
	}
	key, err := pnet.DecodeV1PSK(bytes.NewReader(text))
	if err != nil {
		// What libp2p says of it may have part of the key.
		return nil, fmt.Errorf("the key of the private network in %s is not one: it has three lines, /key/swarm/psk/1.0.0/, /base16/ and 64 hexadecimal digits", path)
	}
	return key, nil
}

// keyFingerprint tells keys apart, as Kubo does at its start, without saying
// anything of the key.
func keyFingerprint(key pnet.PSK) string {
	var secret [32]byte
	copy(secret[:], key)
	block := make([]byte, 64)
	salsa20.XORKeyStream(block, block, []byte("finprint"), &secret)
	return hex.EncodeToString(sha3.SumSHAKE128(block, 16))
}

// privatePrefix is before the fingerprint in the keys of the datastore.
const privatePrefix = "private-"

// privateConfig makes a configuration one of a private network: it listens by
// what works there, asks nobody outside but the routers that the operator names, and
// has its own saved peers and record of what was told. Joining the public network's
// DHT is an error.
func privateConfig(cfg Config, key pnet.PSK, log *slog.Logger) (Config, error) {
	if cfg.Routing == RoutingAuto {
		if err := refusePublicPeers(cfg.Bootstrap); err != nil {
			return cfg, err
		}
	}
	var usable, left []string
	for _, s := range cfg.Listen {
		if worksInPrivate(s) {
			usable = append(usable, s)
		} else {
			left = append(left, s)
		}
	}
	if len(usable) == 0 && len(left) > 0 {
		return cfg, fmt.Errorf("node.listen: a private network works over TCP alone, and there is no such address among %v", left)
	}
	log.Info("private network: only peers with the same swarm key can connect", "fingerprint", keyFingerprint(key))
	if len(left) > 0 {
		log.Info("private network: not listening by QUIC, WebTransport and WebRTC, which do not work with a swarm key", "addresses", left)
	}
	if cfg.HTTPRetrieval {
		log.Info("private network: not fetching from gateways over HTTP, which are outside of it")
		cfg.HTTPRetrieval = false
	}
	cfg.Listen, cfg.network = usable, privatePrefix+keyFingerprint(key)
	return cfg, nil
}

// worksInPrivate reports whether an address can be listened on with a key.
// What is no address at all is told of by who listens.
func worksInPrivate(s string) bool {
	a, err := ma.NewMultiaddr(s)
	if err != nil {
		return true
	}
	_, err = a.ValueForProtocol(ma.P_TCP)
	return err == nil
}

// refusePublicPeers fails if a private network is to be joined by the public
// one's peers. They could not be talked to, and would only be told that
// somebody is there. Nil is those of the public network.
func refusePublicPeers(bootstrap []string) error {
	refused := errors.New(`node.bootstrap has peers of the public network ("auto"), and there is a swarm key: name peers of the private network, or none`)
	if bootstrap == nil {
		return refused
	}
	public := map[peer.ID]bool{}
	for _, p := range dht.GetDefaultBootstrapPeerAddrInfos() {
		public[p.ID] = true
	}
	for _, s := range bootstrap {
		if p, err := peer.AddrInfoFromString(s); err == nil && public[p.ID] {
			return refused
		}
	}
	return nil
}
