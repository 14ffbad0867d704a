package cluster

import (
	"errors"
	"fmt"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// metaReplication is the key in a request's metadata that says in how many copies its DAG is kept.
const metaReplication = "replication"

// replicationOf is what a request asks for itself. One that is wrong was made when no cluster was
// asked, and asks for nothing.
func replicationOf(meta map[string]string) pin.Replication {
	r, err := pin.ParseReplication(meta[metaReplication])
	if err != nil {
		return pin.Replication{}
	}
	return r
}

// Admit says what is wrong with the replication that a request asks for: an [*pin.InvalidError].
func (e *Engine) Admit(s pin.Spec) error {
	text, asked := s.Meta[metaReplication]
	if !asked {
		return nil
	}
	r, err := pin.ParseReplication(text)
	if err == nil && text == "" {
		err = errors.New("it is empty; leave it out, or give a number of copies such as \"2\"")
	}
	if err != nil {
		return &pin.InvalidError{Field: "meta." + metaReplication, Msg: err.Error()}
	}
	if n := e.size(); n > 0 && r.Min > n {
		return &pin.InvalidError{Field: "meta." + metaReplication, Msg: fmt.Sprintf("%d copies are asked for, and the cluster has %d peers", r.Min, n)}
	}
	return nil
}
