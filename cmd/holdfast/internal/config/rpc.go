package config

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// RPC is where Kubo's RPC is served to programs of this machine, without tokens.
type RPC struct {
	Listen     string   `toml:"listen" flag:"true" usage:"unix:PATH, or host:port of this machine alone, to serve Kubo's RPC on for ipfs-cluster, without tokens; empty for none"`
	Account    string   `toml:"account" usage:"e-mail address of the account whose pins these are; it is made if it is not there"`
	UnpinGrace Duration `toml:"unpin_grace" usage:"how long what is unpinned there stays and can be pinned again without a fetch, 0 for not at all"`
}

const (
	// UnixPrefix begins an address that is the path of a socket.
	UnixPrefix = "unix:"
	// maxSocketPath is what systems have room for.
	maxSocketPath = 103
	// lookupTimeout is for a name that leads to this machine, most often by /etc/hosts.
	lookupTimeout = 5 * time.Second
)

// Address gives the network and the address to listen on: those of a Unix socket, or a loopback
// address. A name is looked up, and must lead to loopback addresses alone: so what was looked at
// is what is listened on.
func (r RPC) Address() (network, address string, err error) {
	if path, ok := strings.CutPrefix(r.Listen, UnixPrefix); ok {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path {
			return "", "", errors.New("want the path of a socket from the root, such as unix:/run/holdfast/rpc.sock")
		}
		if len(path) > maxSocketPath {
			return "", "", fmt.Errorf("the path of a socket has %d bytes at most", maxSocketPath)
		}
		return "unix", path, nil
	}
	host, port, err := net.SplitHostPort(r.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || host == "" {
		return "", "", errors.New("want unix:PATH, or HOST:PORT of this machine alone, such as 127.0.0.1:5001: there is no password")
	}
	ip, err := loopbackOf(host)
	if err != nil {
		return "", "", err
	}
	return "tcp", net.JoinHostPort(ip.String(), port), nil
}

// loopbackOf gives a loopback address that a host leads to, and an error if it may lead elsewhere.
func loopbackOf(host string) (net.IP, error) {
	ips := []net.IP{net.ParseIP(host)}
	if ips[0] == nil {
		ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
		defer cancel()
		var err error
		if ips, err = net.DefaultResolver.LookupIP(ctx, "ip", host); err != nil {
			return nil, fmt.Errorf("%s is not found: want unix:PATH, or a loopback address such as 127.0.0.1:5001", host)
		}
	}
	for _, ip := range ips {
		if !ip.IsLoopback() {
			return nil, fmt.Errorf("%s can be reached by others, and there is no password: want unix:PATH, or a loopback address such as 127.0.0.1:5001", ip)
		}
	}
	for _, ip := range ips { // a host may have no IPv6 although its name leads there
		if ip.To4() != nil {
			return ip, nil
		}
	}
	return ips[0], nil
}

// validateRPC checks the section rpc.
func (c *Config) validateRPC(check func(key string, value any, err error)) {
	if c.RPC.Listen == "" {
		return
	}
	_, _, err := c.RPC.Address()
	check("rpc.listen", c.RPC.Listen, err)
	_, err = auth.NormalizeEmail(c.RPC.Account)
	check("rpc.account", c.RPC.Account, err)
}
