package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/holdfast-ipfs/holdfast/cluster"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// validateCluster checks the keys of a cluster, and those that have no sense with one.
func (c *Config) validateCluster(check func(key string, value any, err error)) {
	k := c.Cluster
	for _, u := range k.Peers {
		check("cluster.peers", u, checkBaseURL(u, "http://s1.internal:9094"))
	}
	for _, u := range k.Nodes {
		if path, ok := strings.CutPrefix(u, cluster.UnixScheme); ok && filepath.IsAbs(path) {
			continue
		}
		check("cluster.nodes", u, checkBaseURL(u, "http://s1.internal:5001, or unix:/run/holdfast/rpc.sock"))
	}
	r, err := pin.ParseReplication(k.Replication)
	if err == nil && r == (pin.Replication{}) {
		err = errors.New("want a number of copies such as 2, or the fewest and the most such as 2-3")
	}
	check("cluster.replication", k.Replication, err)
	check("cluster.lost_after", k.LostAfter, atLeastSecond(k.LostAfter))
	if !k.On() {
		return
	}
	if k.Username != "" && k.PasswordFile == "" {
		check("cluster.password_file", "", errors.New("cluster.username needs the file of a password"))
	}
	if k.Username == "" && k.PasswordFile != "" {
		check("cluster.username", "", errors.New("cluster.password_file needs the name of a user"))
	}
	if c.RPC.Listen != "" {
		check("rpc.listen", c.RPC.Listen, errors.New("this server has no blocks, as a cluster keeps them (cluster.peers): "+
			"it is no node of one, so leave this empty"))
	}
	if c.Gateway.Listen != "" {
		check("gateway.listen", c.Gateway.Listen, errors.New("this server has no blocks, as a cluster keeps them (cluster.peers): "+
			"serve a gateway on the cluster's nodes, and leave this empty"))
	}
}

// clusterWarnings names what is set and has no effect, or gives a password away.
func (c *Config) clusterWarnings() (w []string) {
	k := c.Cluster
	if !k.On() {
		if len(k.Nodes) > 0 || k.Username != "" {
			w = append(w, "cluster.nodes and cluster.username have no effect without cluster.peers")
		}
		return w
	}
	if len(k.Nodes) == 0 {
		w = append(w, "cluster.nodes is empty: the sizes of pins are not known, and no quota of bytes counts them")
	}
	if k.Username == "" {
		return w
	}
	for _, s := range k.Peers {
		if u, err := url.Parse(s); err == nil && u.Scheme == "http" && !isLoopbackHost(u.Hostname()) {
			w = append(w, fmt.Sprintf("the password of cluster.username goes over the network unencrypted: %s; use https, or a private network", s))
			break
		}
	}
	return w
}

func isLoopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkBaseURL looks at the URL of an API, without what is no part of an address.
func checkBaseURL(s, example string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("want a URL such as %s", example)
	}
	if u.User != nil {
		return errors.New("want a URL without a password: cluster.username and cluster.password_file have that")
	}
	return nil
}
