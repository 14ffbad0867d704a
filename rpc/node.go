package rpc

import "runtime"

const (
	// kuboVersion is the Kubo whose RPC this is. Clients look at it to find out what they
	// can ask for.
	kuboVersion = "0.43.0"
	repoVersion = "18" // that Kubo's
)

// version tells whose RPC this is, and which Holdfast answers.
func version(q *call) error {
	return q.out.one(struct{ Version, Commit, Repo, System, Golang string }{
		kuboVersion, "holdfast-" + q.Node().Version, repoVersion, runtime.GOARCH + "/" + runtime.GOOS, runtime.Version(),
	})
}

// id tells who the node is.
func id(q *call) error {
	n := q.Node()
	return q.out.one(struct {
		ID, PublicKey string
		Addresses     []string
		AgentVersion  string
		Protocols     []string
	}{n.ID, n.PublicKey, append([]string{}, n.Addresses...), "holdfast/" + n.Version, []string{}})
}
