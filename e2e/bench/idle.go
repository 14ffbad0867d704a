package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// idleKind is a server to measure: a value of node.profile, and what it listens by.
type idleKind struct{ profile, listens, addrs string }

const (
	tcpAndQUIC = "/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/udp/0/quic-v1"
	// Those by default, and WebSocket.
	everyTransport = tcpAndQUIC + ",/ip4/127.0.0.1/udp/0/quic-v1/webtransport,/ip4/127.0.0.1/udp/0/webrtc-direct,/ip4/127.0.0.1/tcp/0/ws"
)

var idleKinds = []idleKind{
	{"small", "TCP, QUIC", tcpAndQUIC},
	{"default", "TCP, QUIC", tcpAndQUIC},
	{"default", "all", everyTransport},
	{"large", "TCP, QUIC", tcpAndQUIC},
}

// idleMemory is what a server of one kind holds while it has nothing to do.
type idleMemory struct {
	idleKind
	fresh, after measuredMemory // when it is ready; after it pinned everything
}

// idle measures each kind, each on a fresh directory.
func idle(ctx context.Context, r *rig.Rig, source *rig.Kubo, c *content, out io.Writer, say func(string, ...any)) error {
	var all []idleMemory
	for _, k := range idleKinds {
		m, err := idleRun(ctx, r, source, c.pinned(), k)
		if err != nil {
			return fmt.Errorf("profile %s, listens by %s: %w", k.profile, k.listens, err)
		}
		say("%s, %s: %.0f MiB when ready, %.0f MiB after the pins", k.profile, k.listens, mib(m.fresh.bytes), mib(m.after.bytes))
		all = append(all, m)
	}
	return printIdle(out, all)
}

func idleRun(ctx context.Context, r *rig.Rig, source *rig.Kubo, dags []dag, k idleKind) (m idleMemory, err error) {
	m.idleKind = k
	server, client, err := startHoldfast(ctx, r, map[string]string{
		"HOLDFAST_NODE_PROFILE": k.profile, "HOLDFAST_NODE_LISTEN": k.addrs,
	})
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(server.Data.Dir) // the next run needs the space too
	defer server.Kill()
	if m.fresh, err = settledMemory(ctx, server.PID()); err != nil {
		return m, err
	}
	for _, d := range dags {
		if _, _, err := pinInHoldfast(ctx, client, d.cid, source.Addrs); err != nil {
			return m, fmt.Errorf("pin %s: %w\n%s", d.name, err, server.Tail())
		}
	}
	if m.after, err = settledMemory(ctx, server.PID()); err != nil {
		return m, err
	}
	return m, server.Stop()
}

func printIdle(out io.Writer, all []idleMemory) error {
	fmt.Fprintf(out, "Memory of an idle server (RssAnon + RssShmem), routing off, one run each\n\n")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "profile\tlistens by\twhen ready\tafter pins\tsettled after\t\t")
	for _, m := range all {
		fmt.Fprintf(w, "%s\t%s\t%.0f MiB\t%.0f MiB\t%s\t%s\t\n", m.profile, m.listens, mib(m.fresh.bytes), mib(m.after.bytes),
			m.after.after.Round(time.Second), idleVerdict(m))
	}
	return w.Flush()
}

// idleVerdict says whether a profile that has a target met it.
func idleVerdict(m idleMemory) string {
	switch {
	case m.profile != "default":
		return ""
	case m.after.bytes < memoryTarget:
		return "met"
	}
	return "MISSED"
}
