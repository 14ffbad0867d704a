package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-ipfs/holdfast/cluster"
)

// clusterFamilies are the metrics of the cluster that keeps what is pinned. Without one there are
// none.
func clusterFamilies() (all []family) {
	add := func(kind prometheus.ValueType, name, help string, labels []string, emit func(*cluster.State, emitter)) {
		all = append(all, family{prometheus.NewDesc(name, help, labels, nil), kind, func(r *Reading, out emitter) {
			if r.Cluster != nil {
				emit(r.Cluster, out)
			}
		}})
	}
	add(prometheus.GaugeValue, "holdfast_cluster_peer_up", "1 while the peer of the cluster answers this server and its node answers it, else 0.", []string{"peer"},
		func(s *cluster.State, emit emitter) {
			for _, p := range s.Peers {
				emit(number(p.Err == nil && p.NodeAway == ""), p.URL)
			}
		})
	add(prometheus.GaugeValue, "holdfast_cluster_room_bytes", "Bytes that the peer's node has room for; 0 is none, or not known.", []string{"peer"},
		func(s *cluster.State, emit emitter) {
			for _, p := range s.Peers {
				emit(float64(p.Room), p.URL)
			}
		})
	add(prometheus.GaugeValue, "holdfast_cluster_pins", "Pins of all clients of the cluster that a peer has under way, by state.", []string{"peer", "state"},
		func(s *cluster.State, emit emitter) {
			for _, p := range s.Peers {
				if p.Known {
					emit(float64(p.Queued), p.URL, "queued")
					emit(float64(p.Pinning), p.URL, "pinning")
					emit(float64(p.Failed), p.URL, "failed")
				}
			}
		})
	add(prometheus.GaugeValue, "holdfast_cluster_dags_below", "Pinned DAGs with fewer copies than they are to have, by the last check.", nil,
		func(s *cluster.State, emit emitter) { emit(float64(s.Below)) })
	add(prometheus.CounterValue, "holdfast_cluster_differences_total", "Differences between records, pinset and nodes that checks found, by kind.", []string{"kind"},
		func(s *cluster.State, emit emitter) {
			for _, kind := range cluster.Kinds() {
				emit(float64(s.Total.Found[kind]), kind)
			}
		})
	add(prometheus.CounterValue, "holdfast_cluster_mended_total", "Those of them that were mended, by kind.", []string{"kind"},
		func(s *cluster.State, emit emitter) {
			for _, kind := range cluster.Kinds() {
				emit(float64(s.Total.Mended[kind]), kind)
			}
		})
	add(prometheus.GaugeValue, "holdfast_cluster_checked_timestamp_seconds", "When the last check ended; missing before the first.", nil,
		func(s *cluster.State, emit emitter) {
			if !s.Last.Ended.IsZero() {
				emit(seconds(s.Last.Ended))
			}
		})
	return all
}
